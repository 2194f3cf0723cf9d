//! What a file says of itself: whether it is WebAssembly, and which compiler made it.
//!
//! What always holds: damaged or hostile bytes give `None` and never a panic. The format is WebAssembly's core
//! specification, "Binary format, Modules"; the section is that of its tool conventions, "Producers".

/// How every WebAssembly module begins.
const MAGIC: &[u8] = b"\0asm";
const MAGIC_AND_VERSION_BYTES: usize = 8;
const CUSTOM_SECTION: u8 = 0;

/// Whether the bytes begin as WebAssembly does.
pub(super) fn is_wasm(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC) && bytes.len() >= MAGIC_AND_VERSION_BYTES
}

/// The compiler named in the module's `producers` section, with its version: `rustc 1.96.0 (…)`.
pub(super) fn compiler(bytes: &[u8]) -> Option<String> {
    let mut rest = Reader(bytes.get(MAGIC_AND_VERSION_BYTES..)?);
    loop {
        let id = rest.byte()?;
        let mut section = Reader(rest.block()?);
        if id == CUSTOM_SECTION && section.block()? == b"producers" {
            return processed_by(section);
        }
    }
}

fn processed_by(mut section: Reader<'_>) -> Option<String> {
    for _ in 0..section.number()? {
        let field = section.block()?;
        for _ in 0..section.number()? {
            let (name, version) = (section.text()?, section.text()?);
            // Linkers and optimisers are in the list too; the compiler is what a person asks for.
            if field == b"processed-by" && (name == "rustc" || name == "clang") {
                return Some(format!("{name} {version}"));
            }
        }
    }
    None
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// An unsigned LEB128 of at most 32 bits.
    fn number(&mut self) -> Option<u32> {
        let mut number = 0_u64;
        for shift in (0..35).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return u32::try_from(number).ok();
            }
        }
        None
    }

    /// Bytes after their number.
    fn block(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (block, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(block)
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.block()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(bytes: &[u8]) -> Vec<u8> {
        [&[u8::try_from(bytes.len()).expect("short")], bytes].concat()
    }

    fn module() -> Vec<u8> {
        let producers = [
            block(b"producers"),
            vec![2],
            [block(b"language"), vec![1], block(b"Rust"), block(b"")].concat(),
            [block(b"processed-by"), vec![1], block(b"rustc"), block(b"1.96.0")].concat(),
        ];
        // A section that is none of ours comes first.
        [b"\0asm\x01\0\0\0".as_slice(), &[1, 1, 0], &[CUSTOM_SECTION], &block(&producers.concat())].concat()
    }

    #[test]
    fn the_compiler_is_found() {
        assert_eq!(compiler(&module()).as_deref(), Some("rustc 1.96.0"));
        assert!(is_wasm(&module()) && !is_wasm(b"export {}") && !is_wasm(b"\0asm"));
    }

    #[test]
    fn damaged_modules_name_no_compiler() {
        let module = module();
        for end in 0..module.len() {
            assert_eq!(compiler(&module[..end]), None, "cut at {end}");
        }
        for position in 8..module.len() {
            let mut damaged = module.clone();
            damaged[position] ^= 0xff;
            let _ = compiler(&damaged); // whatever it says, it returns
        }
    }
}
