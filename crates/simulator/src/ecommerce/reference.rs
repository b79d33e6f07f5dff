//! The reference tables that go with the events, as files.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use super::SimulatorConfig;
use super::profiles::profiles;
use super::shop::{products, regions};

/// Writes `produtos.csv` (`id_produto,nome,categoria`), `regioes.csv` (`regiao,nome`) and
/// `perfis_usuarios.csv` (`id_usuario,segmento,cidade`) into `dir`.
///
/// # Errors
/// A file cannot be written.
pub fn write_reference_csv(dir: &Path, config: &SimulatorConfig) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let products = products(config).map(|product| [product.id_produto, product.nome, product.categoria.to_owned()]);
    write(&dir.join("produtos.csv"), "id_produto,nome,categoria", products)?;
    let regions = regions().map(|region| [region.regiao.to_owned(), region.nome.to_owned()]);
    write(&dir.join("regioes.csv"), "regiao,nome", regions)?;
    let profiles =
        profiles(config).map(|profile| [profile.id_usuario, profile.segmento.to_owned(), profile.cidade.to_owned()]);
    write(&dir.join("perfis_usuarios.csv"), "id_usuario,segmento,cidade", profiles)
}

fn write<const N: usize>(path: &Path, header: &str, rows: impl Iterator<Item = [String; N]>) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    writeln!(file, "{header}")?;
    for row in rows {
        writeln!(file, "{}", row.map(|text| csv_text(&text)).join(","))?;
    }
    file.flush()
}

/// Quoted as RFC 4180 has it: some names hold inches and commas.
pub(super) fn csv_text(text: &str) -> String {
    if text.contains([',', '"', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reference_tables_are_quoted() {
        assert_eq!(csv_text("Monitor 24\", 75 Hz"), "\"Monitor 24\"\", 75 Hz\"");
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path().join("reference");
        write_reference_csv(&dir, &SimulatorConfig { products: 300, ..SimulatorConfig::default() }).expect("written");
        let products = fs::read_to_string(dir.join("produtos.csv")).expect("read");
        assert!(products.starts_with("id_produto,nome,categoria\np1,"));
        assert_eq!(products.lines().count(), 301);
        let regions = fs::read_to_string(dir.join("regioes.csv")).expect("read");
        assert!(regions.starts_with("regiao,nome\nSP,São Paulo\n"));
        assert_eq!(regions.lines().count(), 28);
        let profiles = fs::read_to_string(dir.join("perfis_usuarios.csv")).expect("read");
        assert!(profiles.starts_with("id_usuario,segmento,cidade\nu1,"));
    }
}
