//! Signs of currencies: which they can mean.

use crate::import::mapping::names::plain;

/// The column that says what currency a row's amounts are in.
pub(in crate::import) const COLUMN: &str = "moeda";
/// Countries whose money is called dollar or peso.
const DOLLARS: &[&str] =
    &["USD", "ARS", "AUD", "BRL", "CAD", "CLP", "COP", "CVE", "DOP", "HKD", "MXN", "NZD", "SGD", "UYU"];

/// The currencies that a sign or code can mean; the first alone if it is the only one. None if it
/// is not one.
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
        _ if is_known(&sign) => return Some(vec![sign]),
        _ => return None,
    };
    Some(known.iter().map(|code| (*code).to_owned()).collect())
}

/// Whether a currency that some call dollar or peso is written with another sign than `$` at home.
pub(super) fn has_own_sign(code: &str) -> bool {
    ["BRL", "CVE"].contains(&code)
}

/// The currencies of ISO 4217 that are in use, without those whose codes are words of lists or
/// units: ALL, CUP, KGS, MOP, TOP.
const CODES: &str = "AED AFN AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLP CNY COP CRC \
    CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY \
    KES KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR \
    NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SYP SZL THB TJS TMT TND TRY \
    TTD TWD TZS UAH UGX USD UYU UZS VED VES VND VUV WST XAF XCD XOF XPF YER ZAR ZMW ZWG";

/// Whether three letters are a currency, and not a unit or a word.
fn is_known(code: &str) -> bool {
    code.len() == 3 && CODES.split_ascii_whitespace().any(|known| known == code)
}

/// The one currency that a cell names, by its sign or code.
pub(in crate::import) fn named(text: &str) -> Option<String> {
    let [only] = <[String; 1]>::try_from(meant(text.trim())?).ok()?;
    Some(only)
}

/// The currency that people call by this word, in the place where amounts are in `here`: a dollar
/// is that of the place, if it has one.
pub(in crate::import) fn of_word(word: &str, here: &str) -> Option<String> {
    let code = match plain(word).as_str() {
        "real" | "reais" | "reales" | "real_brasileiro" | "reais_brasileiros" | "reais_r" | "real_r"
        | "brazilian_real" => "BRL",
        "dolar" | "dolares" | "dollar" | "dollars" if DOLLARS.contains(&here) && !has_own_sign(here) => here,
        "dolar"
        | "dolares"
        | "dollar"
        | "dollars"
        | "dolar_americano"
        | "dolares_americanos"
        | "us_dollar"
        | "us_dollars"
        | "dolar_us"
        | "dolares_us"
        | "dolar_dos_eua"
        | "dolar_estadunidense"
        | "american_dollar" => "USD",
        "euro" | "euros" => "EUR",
        "libra_esterlina" | "libras_esterlinas" | "pound_sterling" | "british_pound" => "GBP",
        "peso_argentino" | "pesos_argentinos" => "ARS",
        "peso_chileno" | "pesos_chilenos" => "CLP",
        "peso_colombiano" | "pesos_colombianos" => "COP",
        "peso_mexicano" | "pesos_mexicanos" => "MXN",
        "peso_uruguaio" | "peso_uruguayo" | "pesos_uruguayos" => "UYU",
        "guarani" | "guaranies" => "PYG",
        _ => return None,
    };
    Some(code.to_owned())
}

/// The currency that a heading names behind everything else: `Preço (US$)`, `valor_total_usd`,
/// `Total in EUR`.
pub(in crate::import) fn of_heading(heading: &str) -> Option<String> {
    let last = heading.trim().trim_end_matches([')', ']']);
    named(last.rsplit(['(', '[', ' ', '_', '-', '/', '.']).next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_name_currencies_at_their_end() {
        let of = |heading| of_heading(heading);
        for (heading, code) in [
            ("Preço (US$)", "USD"),
            ("Preço [R$]", "BRL"),
            ("valor_total_usd", "USD"),
            ("Total in EUR", "EUR"),
            ("Price (in £)", "GBP"),
        ] {
            assert_eq!(of(heading).as_deref(), Some(code), "{heading}");
        }
        for heading in ["Preço", "Preço (und)", "Preço ($)", "Valor (SKU)", "Total de compras", ""] {
            assert_eq!(of(heading), None, "{heading}");
        }
    }

    #[test]
    fn currencies_have_names_that_people_write() {
        for (word, code) in [
            ("Real", "BRL"),
            (" REAIS ", "BRL"),
            ("Reais (R$)", "BRL"),
            ("D\u{f3}lar", "USD"),
            ("dolares americanos", "USD"),
            ("US Dollar", "USD"),
            ("Euro", "EUR"),
            ("Peso argentino", "ARS"),
        ] {
            assert_eq!(of_word(word, "BRL").as_deref(), Some(code), "{word}");
        }
        assert_eq!(of_word("Dollars", "CAD").as_deref(), Some("CAD"), "in Canada");
        for word in ["", "peso", "moeda", "Real Madrid", "libra"] {
            assert_eq!(of_word(word, "BRL"), None, "{word}");
        }
    }

    #[test]
    fn signs_mean_one_currency_or_several() {
        let one = |sign: &str| meant(sign).filter(|codes| codes.len() == 1).map(|codes| codes[0].clone());
        assert_eq!(
            ["R$", "us$", "usd", "\u{20ac}"].map(one),
            ["BRL", "USD", "USD", "EUR"].map(|code| Some(code.to_owned()))
        );
        assert!(meant("$").is_some_and(|codes| codes.len() > 1));
        for word in ["unidades", "und", "pcs", "kgs", "kit", "mil"] {
            assert_eq!(meant(word), None, "{word}");
        }
    }
}
