//! Giving memory back: pages of the executable that the kernel can read again from its file.
#![allow(unsafe_code)]

/// The parts of this process that are mapped from files and never written: text and constants of
/// the executable and of its libraries. A few of them.
#[derive(Debug, Clone, Default)]
pub struct CleanPages {
    ranges: [(usize, usize); CleanPages::MOST],
    count: usize,
}

impl CleanPages {
    const MOST: usize = 16;

    /// Finds them.
    ///
    /// dl_iterate_phdr(3).
    pub fn find() -> Self {
        let mut found = Self::default();
        // SAFETY: the callback has the type that the function wants and gets back the pointer
        // given here, which outlives the call.
        unsafe { libc::dl_iterate_phdr(Some(note), (&raw mut found).cast()) };
        found
    }

    /// Takes them out of this process's memory. What is touched again comes back from the page
    /// cache, a few microseconds each.
    ///
    /// madvise(2), `MADV_DONTNEED`.
    #[inline]
    pub fn release(&self) {
        for &(start, length) in &self.ranges[..self.count] {
            // SAFETY: the range is a private mapping of a file that this process cannot write
            // to, so that its pages hold nothing but the file's content, and reading them
            // again gives the same. Nothing is unmapped.
            unsafe { libc::madvise(start as *mut libc::c_void, length, libc::MADV_DONTNEED) };
        }
    }

    /// How many bytes are mapped.
    pub fn bytes(&self) -> usize {
        self.ranges[..self.count].iter().map(|(_, length)| length).sum()
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
        pages.release();
        assert_eq!(format!("{:?}", Some(1)), "Some(1)");
    }
}
