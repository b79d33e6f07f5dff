//! Lists as PostgreSQL writes arrays of one dimension.

use arrow::array::Array;
use bytes::{BufMut, BytesMut};
use datafusion_postgres::pgwire::error::PgWireError;

use super::{is_null, write};
use crate::types::pg_type_of;

/// `{1,2,NULL,"a b"}`.
pub(crate) fn write_text(items: &dyn Array, out: &mut BytesMut) -> Result<(), PgWireError> {
    out.put_u8(b'{');
    let mut item = BytesMut::new();
    for row in 0..items.len() {
        if row > 0 {
            out.put_u8(b',');
        }
        if is_null(items, row) {
            out.put_slice(b"NULL");
            continue;
        }
        item.clear();
        write(items, row, false, &mut item)?;
        put_item(&item, out);
    }
    out.put_u8(b'}');
    Ok(())
}

fn put_item(item: &[u8], out: &mut BytesMut) {
    let is_special = |byte: &u8| matches!(byte, b'{' | b'}' | b',' | b'"' | b'\\') || byte.is_ascii_whitespace();
    if !item.is_empty() && !item.iter().any(is_special) && !item.eq_ignore_ascii_case(b"null") {
        out.put_slice(item);
        return;
    }
    out.put_u8(b'"');
    for byte in item {
        if matches!(byte, b'"' | b'\\') {
            out.put_u8(b'\\');
        }
        out.put_u8(*byte);
    }
    out.put_u8(b'"');
}

/// Dimensions, the type of the items, then each with its length.
pub(crate) fn write_binary(items: &dyn Array, out: &mut BytesMut) -> Result<(), PgWireError> {
    let pg_type = pg_type_of(items.data_type());
    let length = i32::try_from(items.len()).unwrap_or(i32::MAX);
    let has_nulls = (0..items.len()).any(|row| is_null(items, row));
    out.put_i32(i32::from(length > 0));
    out.put_i32(i32::from(has_nulls));
    out.put_u32(pg_type.oid());
    if length == 0 {
        return Ok(());
    }
    out.put_i32(length);
    // Arrays count from 1.
    out.put_i32(1);
    for row in 0..items.len() {
        put_with_length(items, row, true, out)?;
    }
    Ok(())
}

/// A value after its length in bytes, which is -1 where there is none.
pub(crate) fn put_with_length(
    array: &dyn Array,
    row: usize,
    is_binary: bool,
    out: &mut BytesMut,
) -> Result<(), PgWireError> {
    let start = out.len();
    out.put_i32(-1);
    if !is_null(array, row) {
        write(array, row, is_binary, out)?;
        let length = i32::try_from(out.len() - start - 4).unwrap_or(i32::MAX);
        out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int32Array, StringArray};

    use super::*;

    #[test]
    fn texts_are_quoted_where_they_have_to_be() {
        let items = StringArray::from(vec![Some("a"), Some("b c"), Some("\"\\"), Some(""), Some("null"), None]);
        let mut out = BytesMut::new();
        write_text(&items, &mut out).expect("a list");
        assert_eq!(&out[..], br#"{a,"b c","\"\\","","null",NULL}"#);
    }

    #[test]
    fn binary_lists_tell_their_items() {
        let mut out = BytesMut::new();
        write_binary(&Int32Array::from(vec![Some(7), None]), &mut out).expect("a list");
        let wanted = [1, 1, 23, 2, 1, 4, 7, -1].map(i32::to_be_bytes).concat();
        assert_eq!(&out[..], wanted);
        out.clear();
        write_binary(&Int32Array::from(Vec::<i32>::new()), &mut out).expect("no items");
        assert_eq!(&out[..], [0, 0, 23].map(i32::to_be_bytes).concat());
    }
}
