//! Reads JSON and writes its canonical form in one pass.
//!
//! What always holds: nothing is written that was not read by the grammar of RFC 8259; a payload that is canonical
//! already is copied once and nothing is allocated for its objects but room for their keys.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::PayloadError;
use super::number::{NumberError, push_number};
use crate::limits::PAYLOAD_DEPTH_MAX;

/// How much of a key an error repeats, in characters.
const KEY_SHOWN_CHARS: usize = 64;

/// The canonical form of one JSON value with nothing but white space around it.
pub(super) fn canonical(text: &str) -> Result<String, PayloadError> {
    let mut writer = Writer { text, at: 0, out: String::with_capacity(text.len()), members: Vec::new() };
    writer.value(0)?;
    writer.skip_space();
    if writer.at < text.len() {
        return Err(writer.expected("the end"));
    }
    Ok(writer.out)
}

struct Writer<'t> {
    text: &'t str,
    /// The next byte to read; always at the start of a character, except inside of `string`.
    at: usize,
    out: String,
    /// The members of all objects that are open, the innermost last.
    members: Vec<Member<'t>>,
}

struct Member<'t> {
    key: Cow<'t, str>,
    /// Where the key stands in the text.
    at: usize,
    /// Where `"key":value` stands in the output.
    start: usize,
    end: usize,
}

impl<'t> Writer<'t> {
    fn value(&mut self, depth: usize) -> Result<(), PayloadError> {
        self.skip_space();
        match self.peek() {
            Some(b'"') => self.string().map(|_| ()),
            Some(b'{') => self.object(self.one_deeper(depth)?),
            Some(b'[') => self.array(self.one_deeper(depth)?),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true"),
            Some(b'f') => self.word("false"),
            Some(b'n') => self.word("null"),
            _ => Err(self.expected("a value")),
        }
    }

    fn one_deeper(&self, depth: usize) -> Result<usize, PayloadError> {
        if depth == PAYLOAD_DEPTH_MAX { Err(PayloadError::TooDeep { at: self.at }) } else { Ok(depth + 1) }
    }

    fn array(&mut self, depth: usize) -> Result<(), PayloadError> {
        self.open('[');
        if self.eat(b']') {
            self.out.push(']');
            return Ok(());
        }
        loop {
            self.value(depth)?;
            self.skip_space();
            if self.eat(b']') {
                self.out.push(']');
                return Ok(());
            }
            self.need(b',', "`,` or `]`")?;
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), PayloadError> {
        let outer = self.members.len();
        self.open('{');
        let body = self.out.len();
        if self.eat(b'}') {
            self.out.push('}');
            return Ok(());
        }
        loop {
            self.skip_space();
            let member = self.member(depth)?;
            self.members.push(member);
            self.skip_space();
            if self.eat(b'}') {
                break;
            }
            self.need(b',', "`,` or `}`")?;
        }
        self.order_members(outer, body)?;
        self.out.push('}');
        Ok(())
    }

    fn member(&mut self, depth: usize) -> Result<Member<'t>, PayloadError> {
        let (at, start) = (self.at, self.out.len());
        if self.peek() != Some(b'"') {
            return Err(self.expected("a key"));
        }
        let escaped = self.string()?;
        let quoted = &self.text[at..self.at];
        let key = if escaped {
            Cow::Owned(serde_json::from_str(quoted).expect("what `string` has read is a JSON string"))
        } else {
            Cow::Borrowed(&quoted[1..quoted.len() - 1])
        };
        self.skip_space();
        self.need(b':', "`:`")?;
        self.value(depth)?;
        Ok(Member { key, at, start, end: self.out.len() })
    }

    /// Closes the members from `outer` on, which are written from `body` on: puts them in the order of their keys (RFC
    /// 8785 section 3.2.3), unless they are in it.
    fn order_members(&mut self, outer: usize, body: usize) -> Result<(), PayloadError> {
        let members = &mut self.members[outer..];
        let ordered = members.is_sorted_by(|one, next| compare_keys(&one.key, &next.key) == Ordering::Less);
        if !ordered {
            // Stable, so that of two equal keys the later in the text is the later here.
            members.sort_by(|one, other| compare_keys(&one.key, &other.key));
            if let Some([_, again]) = members.array_windows().find(|[one, next]| one.key == next.key) {
                return Err(PayloadError::DuplicateKey { at: again.at, key: shown(&again.key) });
            }
            let unordered = self.out.split_off(body);
            for (nth, member) in members.iter().enumerate() {
                if nth > 0 {
                    self.out.push(',');
                }
                self.out.push_str(&unordered[member.start - body..member.end - body]);
            }
        }
        self.members.truncate(outer);
        Ok(())
    }

    fn number(&mut self) -> Result<(), PayloadError> {
        let start = self.at;
        self.skip(|byte| byte == b'-');
        if self.at > start + 1 {
            self.at = start + 1;
            return Err(self.expected("a digit"));
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        let integer_end = self.at;
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        push_number(&mut self.out, &self.text[start..self.at], integer_end == self.at).map_err(|error| match error {
            NumberError::OutOfRange => PayloadError::NumberOutOfRange { at: start },
            NumberError::Lossy(becomes) => PayloadError::LossyInteger { at: start, becomes },
        })
    }

    fn digits(&mut self) -> Result<(), PayloadError> {
        let start = self.at;
        self.skip(|byte| byte.is_ascii_digit());
        if self.at == start { Err(self.expected("a digit")) } else { Ok(()) }
    }

    /// Reads a string and writes it, with only those escapes that RFC 8785 section 3.2.2.2 has. Returns whether the text
    /// has any.
    fn string(&mut self) -> Result<bool, PayloadError> {
        self.open('"');
        let mut escaped = false;
        loop {
            let start = self.at;
            self.at += plain(&self.text.as_bytes()[start..]);
            self.out.push_str(&self.text[start..self.at]);
            match self.peek() {
                Some(b'"') => {
                    self.open('"');
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    escaped = true;
                    let char = self.escape()?;
                    push_char(&mut self.out, char);
                }
                Some(_) => return Err(self.expected("an escape, as a control character is none of a string's,")),
                None => return Err(self.expected("a closing `\"`")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, PayloadError> {
        let start = self.at;
        self.at += 1;
        let char = match self.peek() {
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(start),
            _ => return Err(self.expected("one of \" \\ / b f n r t u after `\\`")),
        };
        self.at += 1;
        Ok(char)
    }

    /// `\uXXXX`, or two of them that are a surrogate pair; the first backslash stands at `start`.
    fn unicode_escape(&mut self, start: usize) -> Result<char, PayloadError> {
        let lone = PayloadError::LoneSurrogate { at: start };
        let first = self.hex4()?;
        let units = if (0xd800..0xdc00).contains(&first) {
            if !self.text[self.at..].starts_with("\\u") {
                return Err(lone);
            }
            self.at += 1;
            vec![first, self.hex4()?]
        } else {
            vec![first]
        };
        char::decode_utf16(units).next().and_then(Result::ok).ok_or(lone)
    }

    /// The four hex digits after the `u` at `self.at`.
    fn hex4(&mut self) -> Result<u16, PayloadError> {
        self.at += 1;
        let digits = self.text.as_bytes().get(self.at..self.at + 4);
        // `from_str_radix` would take a sign.
        let digits = digits.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        let unit = digits.and_then(|digits| u16::from_str_radix(digits, 16).ok());
        let unit = unit.ok_or_else(|| self.expected("four hex digits"))?;
        self.at += 4;
        Ok(unit)
    }

    fn word(&mut self, word: &'static str) -> Result<(), PayloadError> {
        if !self.text[self.at..].starts_with(word) {
            return Err(self.expected("a value"));
        }
        self.at += word.len();
        self.out.push_str(word);
        Ok(())
    }

    /// Reads and writes a bracket or quote that is known to stand here.
    fn open(&mut self, bracket: char) {
        self.at += 1;
        self.out.push(bracket);
        if bracket != '"' {
            self.skip_space();
        }
    }

    /// Reads a byte that must stand here, and writes it.
    fn need(&mut self, byte: u8, expected: &'static str) -> Result<(), PayloadError> {
        if !self.eat(byte) {
            return Err(self.expected(expected));
        }
        self.out.push(char::from(byte));
        Ok(())
    }

    /// Reads a byte if it stands here.
    fn eat(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn skip_space(&mut self) {
        self.skip(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
    }

    fn skip(&mut self, wanted: impl Fn(u8) -> bool) {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += rest.iter().position(|byte| !wanted(*byte)).unwrap_or(rest.len());
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn expected(&self, expected: &'static str) -> PayloadError {
        PayloadError::Syntax { at: self.at, expected }
    }
}

/// Bytes that are looked at together: as many as fit into a vector register of every x86-64 and ARM64.
const BLOCK_BYTES: usize = 16;

/// How many bytes stand before the first one that a string's text cannot be copied over.
fn plain(bytes: &[u8]) -> usize {
    let is_special = |byte: u8| byte == b'"' || byte == b'\\' || byte < 0x20;
    let (blocks, _) = bytes.as_chunks::<BLOCK_BYTES>();
    // Without a way out in the midst of a block the compiler compares all of it at once.
    let is_plain = |block: &&[u8; BLOCK_BYTES]| !block.iter().fold(false, |any, byte| any | is_special(*byte));
    let before = blocks.iter().take_while(is_plain).count() * BLOCK_BYTES;
    let rest = &bytes[before..];
    before + rest.iter().position(|byte| is_special(*byte)).unwrap_or(rest.len())
}

/// Keys are ordered by their UTF-16 code units (RFC 8785 section 3.2.3), in which a character beyond U+FFFF comes before
/// U+E000 to U+FFFF; among other characters that is the order of their bytes.
fn compare_keys(one: &str, other: &str) -> Ordering {
    if one.is_ascii() && other.is_ascii() {
        return one.cmp(other);
    }
    one.encode_utf16().cmp(other.encode_utf16())
}

fn push_char(out: &mut String, char: char) {
    match char {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\u{8}' => out.push_str("\\b"),
        '\t' => out.push_str("\\t"),
        '\n' => out.push_str("\\n"),
        '\u{c}' => out.push_str("\\f"),
        '\r' => out.push_str("\\r"),
        control @ '\0'..'\u{20}' => out.push_str(&format!("\\u{:04x}", control as u32)),
        char => out.push(char),
    }
}

fn shown(key: &str) -> String {
    key.chars().take(KEY_SHOWN_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn blocks_are_passed_over_as_bytes_one_by_one_are(
            mut bytes in prop::collection::vec(0x1eu8..=0xff, 0..80),
            special in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(vec![b'"', b'\\', 0, 0x1f, 0x20, 0x7f, 0x80])), 0..3),
        ) {
            // Mostly none that ends it, so that whole blocks are passed over.
            bytes.iter_mut().filter(|byte| matches!(**byte, b'"' | b'\\' | ..0x20)).for_each(|byte| *byte = b'a');
            for (place, byte) in special {
                if !bytes.is_empty() {
                    let place = place.index(bytes.len());
                    bytes[place] = byte;
                }
            }
            let mut slow = 0;
            while slow < bytes.len() && bytes[slow] != b'"' && bytes[slow] != b'\\' && bytes[slow] >= 0x20 {
                slow += 1;
            }
            prop_assert_eq!(plain(&bytes), slow);
        }
    }
}
