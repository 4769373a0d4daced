//! Giving memory back: pages of the executable that the kernel can read again from its file.
#![allow(unsafe_code)]

use rustix::event::{PollFd, Timespec};
use rustix::io::Errno;
use rustix::mm::{Advice, madvise};

/// The parts of this process that are mapped from files and never written: text and constants of
/// the executable and of its libraries. A few of them.
#[derive(Debug, Clone, Default)]
pub struct CleanPages {
    ranges: [(usize, usize); CleanPages::MOST],
    count: usize,
}

impl CleanPages {
    const MOST: usize = 16;
    /// More than the code of [`CleanPages::poll`].
    const POLL_BYTES: usize = 1024;

    /// Finds them.
    ///
    /// dl_iterate_phdr(3).
    pub fn find() -> Self {
        let mut found = Self::default();
        // SAFETY: the callback has the type that the function wants and gets back the pointer
        // given here, which outlives the call.
        unsafe { libc::dl_iterate_phdr(Some(note), (&raw mut found).cast()) };
        found.set_poll_apart();
        found
    }

    /// How many bytes are mapped.
    pub fn bytes(&self) -> usize {
        self.ranges[..self.count].iter().map(|(_, length)| length).sum()
    }

    /// Takes all of them out of this process's memory, and waits as `poll` does.
    ///
    /// While it waits, a page or two of code are left. What is touched afterwards comes back from
    /// the page cache, a few microseconds each.
    ///
    /// madvise(2), `MADV_DONTNEED`; poll(2).
    #[inline(never)]
    pub fn poll(&self, fds: &mut [PollFd<'_>], timeout: Option<&Timespec>) -> Result<usize, Errno> {
        for &(start, length) in self.ranges.iter().take(self.count) {
            // By rustix, which makes its system calls right here, so that no other page of code
            // is needed until something happens.
            // SAFETY: the range is a private mapping of a file that this process cannot write
            // to, so that its pages hold nothing but the file's content, and reading them
            // again gives the same. Nothing is unmapped.
            let _ = unsafe { madvise(start as *mut _, length, Advice::LinuxDontNeed) };
        }
        rustix::event::poll(fds, timeout)
    }

    /// Gives the code of [`CleanPages::poll`] a mapping of its own.
    ///
    /// For a page that is touched the kernel maps what is around it and in memory as well: 64
    /// KiB, since Linux 6.18 whole large folios. It does not go beyond the mapping.
    fn set_poll_apart(&self) {
        let page = rustix::param::page_size();
        let code = Self::poll as *const () as usize;
        let start = code & !(page - 1);
        let end = (code + Self::POLL_BYTES).next_multiple_of(page);
        let is_inside = |(from, length): &(usize, usize)| *from <= start && end <= from + length;
        if self.ranges[..self.count].iter().any(is_inside) {
            // SAFETY: the advice leaves the content as it is. It only says that the pages are not
            // to be in a core file, which they are not anyway, and by that makes the mapping
            // another one than those beside it.
            let _ = unsafe { madvise(start as *mut _, end - start, Advice::LinuxDontDump) };
        }
    }
}

/// Notes the segments of one object that are loaded and not writable.
unsafe extern "C" fn note(
    object: *mut libc::dl_phdr_info,
    _size: libc::size_t,
    found: *mut libc::c_void,
) -> libc::c_int {
    // SAFETY: dl_iterate_phdr gives a valid object for the time of the call, of which
    // `dlpi_phdr` and `dlpi_phnum` describe the array of its program headers, and it passes on
    // the pointer that `find` gave it.
    let (headers, base, found) = unsafe {
        let object = &*object;
        let count = usize::from(object.dlpi_phnum);
        let headers: &[libc::Elf64_Phdr] = std::slice::from_raw_parts(object.dlpi_phdr, count);
        (headers, object.dlpi_addr, &mut *found.cast::<CleanPages>())
    };
    let page = rustix::param::page_size();
    for header in headers {
        if header.p_type != libc::PT_LOAD || header.p_flags & libc::PF_W != 0 {
            continue;
        }
        let start = (base + header.p_vaddr) as usize & !(page - 1);
        let end = ((base + header.p_vaddr + header.p_memsz) as usize).next_multiple_of(page);
        if found.count < CleanPages::MOST {
            found.ranges[found.count] = (start, end - start);
            found.count += 1;
        }
    }
    0
}

/// Gives the free memory of the heap back to the kernel, where the C library can.
pub fn release_heap() {
    // musl gives whole groups back by itself.
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim only touches memory that the allocator owns and nobody uses.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_goes_on_after_its_text_was_released() {
        let pages = CleanPages::find();
        assert!(pages.bytes() > 0);
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        assert_eq!(pages.poll(&mut [], Some(&now)), Ok(0));
        assert_eq!(format!("{:?}", Some(1)), "Some(1)");
    }
}
