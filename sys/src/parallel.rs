//! Work that falls into parts, done on all processors.

/// Fewer items are done before a thread is started, which costs as much as ten of them.
const WORTH_A_THREAD: usize = 200;
/// More of them meet in one directory, or in memory.
const MAX_WORKERS: usize = 8;

/// Has each part of `items` done by `work`, the parts at the same time; answers in their order.
///
/// There are as many parts as processors, and one, done by the caller, if there are few items.
///
/// # Panics
///
/// If `work` does.
pub fn in_parts<T: Sync, R: Send>(items: &[T], work: impl Fn(&[T]) -> R + Sync) -> Vec<R> {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let workers = if items.len() < WORTH_A_THREAD { 1 } else { cores().min(MAX_WORKERS) };
    let mut parts = items.chunks(items.len().div_ceil(workers).max(1));
    let own = parts.next().unwrap_or_default();
    let work = &work;
    std::thread::scope(|scope| {
        let others: Vec<_> = parts.map(|part| scope.spawn(move || work(part))).collect();
        let mut answers = vec![work(own)];
        for other in others {
            answers.push(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        answers
    })
}

/// [`in_parts`], one by one.
///
/// # Panics
///
/// If `work` does.
pub fn map<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    in_parts(items, |part| part.iter().map(&work).collect::<Vec<R>>())
        .into_iter()
        .flatten()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_stays() {
        for count in [0, 1, 199, 200, 1001] {
            let items: Vec<usize> = (0..count).collect();
            assert_eq!(
                map(&items, |item| item * 2),
                (0..count).map(|item| item * 2).collect::<Vec<_>>()
            );
            let sums = in_parts(&items, |part| part.iter().sum::<usize>());
            assert_eq!(sums.iter().sum::<usize>(), items.iter().sum::<usize>());
        }
    }
}
