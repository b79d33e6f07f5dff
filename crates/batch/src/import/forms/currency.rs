//! Signs of currencies: which they can mean.

/// Countries whose money is called dollar or peso.
const DOLLARS: &[&str] =
    &["USD", "ARS", "AUD", "BRL", "CAD", "CLP", "COP", "CVE", "DOP", "HKD", "MXN", "NZD", "SGD", "UYU"];

/// The currencies that a sign or code can mean; the first alone if it is the only one. None if it is not one.
pub(in crate::import) fn meant(sign: &str) -> Option<Vec<String>> {
    let sign = sign.to_uppercase();
    let known: &[&str] = match sign.as_str() {
        "R$" => &["BRL"],
        "US$" | "U$S" | "U$" | "USD$" => &["USD"],
        "AR$" => &["ARS"],
        "MX$" | "MEX$" => &["MXN"],
        "CL$" | "CLP$" => &["CLP"],
        "CO$" | "COL$" => &["COP"],
        "$U" | "UY$" => &["UYU"],
        "CA$" | "C$" => &["CAD"],
        "A$" | "AU$" => &["AUD"],
        "$" => DOLLARS,
        "\u{20ac}" => &["EUR"],
        "\u{a3}" => &["GBP"],
        "\u{a5}" => &["JPY", "CNY"],
        "\u{20b2}" => &["PYG"],
        "\u{20b9}" => &["INR"],
        "\u{20a9}" => &["KRW"],
        _ if sign.len() == 3 && sign.bytes().all(|byte| byte.is_ascii_uppercase()) => return Some(vec![sign]),
        _ => return None,
    };
    Some(known.iter().map(|code| (*code).to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_mean_one_currency_or_several() {
        let one = |sign: &str| meant(sign).filter(|codes| codes.len() == 1).map(|codes| codes[0].clone());
        assert_eq!(
            ["R$", "us$", "usd", "\u{20ac}"].map(one),
            ["BRL", "USD", "USD", "EUR"].map(|code| Some(code.to_owned()))
        );
        assert!(meant("$").is_some_and(|codes| codes.len() > 1));
        assert_eq!(meant("unidades"), None);
    }
}
