//! The words of the shop: departments, and what their products are called and cost.

/// A product's name is a noun, a maker and a finish, in that order.
pub(super) struct Department {
    pub(super) name: &'static str,
    pub(super) makers: &'static [&'static str],
    pub(super) finishes: &'static [&'static str],
    /// Noun, lowest and highest price in whole reais.
    pub(super) nouns: &'static [(&'static str, u32, u32)],
    /// Whether products carry a model number after the maker.
    pub(super) models: bool,
}

const TECHNICAL: &[&str] =
    &["Aurora", "Boreal", "Lumen", "Órion", "Quartzo", "Tupi", "Vértice", "Zênite", "Ipê", "Pampa", "Maré", "Solaris"];
const HOME: &[&str] = &["Araucária", "Caiçara", "Cascata", "Dona Flor", "Jatobá", "Pampa", "Serra", "Sinhá", "Varanda"];
const FASHION: &[&str] = &["Alecrim", "Brisa", "Caju", "Estrela do Sul", "Garoa", "Maré", "Nativa", "Sabiá", "Trama"];
const COLOURS: &[&str] = &["Azul", "Verde", "Cinza", "Marrom", "Grafite", "Bege", "Laranja", "Vinho"];
const SIZES: &[&str] =
    &["Azul P", "Azul M", "Azul G", "Verde P", "Verde M", "Verde G", "Bege M", "Bege G", "Vinho M", "Cinza GG"];
const VOLTAGES: &[&str] = &["110 V", "220 V", "Bivolt", "Inox 110 V", "Inox 220 V"];

pub(super) const DEPARTMENTS: &[Department] = &[
    Department {
        name: "Eletrônicos",
        makers: TECHNICAL,
        finishes: COLOURS,
        nouns: &[
            ("Fone de Ouvido Bluetooth", 79, 899),
            ("Smart TV 50\" 4K", 1899, 3999),
            ("Caixa de Som Portátil", 99, 1299),
            ("Soundbar 2.1", 349, 1899),
            ("Câmera de Segurança Wi-Fi", 119, 599),
            ("Relógio Inteligente", 149, 2199),
        ],
        models: true,
    },
    Department {
        name: "Informática",
        makers: TECHNICAL,
        finishes: &["8 GB", "16 GB", "Preto", "Branco", "Grafite", "com Garantia Estendida"],
        nouns: &[
            ("Notebook 15,6\"", 2199, 7499),
            ("Monitor 24\", 75 Hz", 599, 1599),
            ("Mouse sem Fio", 39, 299),
            ("Teclado Mecânico ABNT2", 149, 799),
            ("SSD 1 TB", 289, 899),
            ("Impressora Multifuncional", 399, 1499),
        ],
        models: true,
    },
    Department {
        name: "Celulares",
        makers: TECHNICAL,
        finishes: &["Azul", "Preto", "Verde", "Grafite", "Dourado"],
        nouns: &[
            ("Smartphone 128 GB", 899, 2999),
            ("Smartphone 256 GB 5G", 1799, 6999),
            ("Capa Protetora", 19, 129),
            ("Carregador Turbo 30 W", 49, 199),
            ("Película de Vidro", 15, 79),
        ],
        models: true,
    },
    Department {
        name: "Eletrodomésticos",
        makers: TECHNICAL,
        finishes: VOLTAGES,
        nouns: &[
            ("Geladeira Frost Free 375 L", 2399, 5299),
            ("Lavadora de Roupas 12 kg", 1599, 3499),
            ("Micro-ondas 32 L", 499, 1099),
            ("Fritadeira sem Óleo 4 L", 229, 799),
            ("Liquidificador 1000 W", 99, 399),
            ("Aspirador de Pó Vertical", 149, 899),
            ("Ventilador de Mesa 40 cm", 119, 349),
        ],
        models: true,
    },
    Department {
        name: "Casa e Cozinha",
        makers: HOME,
        finishes: &["Azul", "Verde", "Cinza", "Bege", "Natural", "com Tampa", "Linha Prime"],
        nouns: &[
            ("Jogo de Panelas, 5 Peças", 199, 899),
            ("Jogo de Cama Casal 200 Fios", 89, 399),
            ("Toalha de Banho", 25, 119),
            ("Garrafa Térmica 1 L", 49, 249),
            ("Aparelho de Jantar, 20 Peças", 149, 649),
            ("Frigideira Antiaderente 24 cm", 49, 229),
            ("Cafeteira Italiana", 59, 199),
        ],
        models: false,
    },
    Department {
        name: "Móveis",
        makers: HOME,
        finishes: &["Carvalho", "Nogueira", "Branco", "Off White", "Freijó", "Grafite"],
        nouns: &[
            ("Sofá Retrátil 3 Lugares", 1299, 4599),
            ("Guarda-Roupa 6 Portas", 799, 2999),
            ("Mesa de Jantar 4 Cadeiras", 599, 2499),
            ("Cadeira de Escritório", 299, 1599),
            ("Rack para TV até 65\"", 249, 999),
            ("Colchão Casal Molas", 699, 3199),
        ],
        models: false,
    },
    Department {
        name: "Moda Feminina",
        makers: FASHION,
        finishes: SIZES,
        nouns: &[
            ("Vestido Midi", 79, 349),
            ("Blusa de Tricô", 59, 229),
            ("Calça Jeans Skinny", 89, 289),
            ("Saia Plissada", 69, 199),
            ("Bolsa Transversal", 79, 459),
        ],
        models: false,
    },
    Department {
        name: "Moda Masculina",
        makers: FASHION,
        finishes: SIZES,
        nouns: &[
            ("Camiseta Básica", 29, 119),
            ("Camisa Polo", 59, 249),
            ("Bermuda de Sarja", 69, 199),
            ("Calça Jeans Slim", 99, 299),
            ("Jaqueta Corta-Vento", 119, 499),
        ],
        models: false,
    },
    Department {
        name: "Calçados",
        makers: FASHION,
        finishes: &["Azul 35", "Bege 36", "Bege 37", "Cinza 38", "Cinza 39", "Grafite 40", "Azul 41", "Marrom 42"],
        nouns: &[
            ("Tênis de Corrida", 149, 899),
            ("Sandália Rasteira", 49, 199),
            ("Chinelo", 25, 89),
            ("Bota Cano Curto", 149, 549),
            ("Sapatênis", 99, 349),
        ],
        models: false,
    },
    Department {
        name: "Beleza e Perfumaria",
        makers: FASHION,
        finishes: &["30 ml", "50 ml", "100 ml", "200 ml", "Refil", "Kit Presente"],
        nouns: &[
            ("Perfume", 79, 499),
            ("Shampoo Nutritivo", 19, 99),
            ("Hidratante Corporal de Castanha", 25, 119),
            ("Protetor Solar FPS 50", 35, 129),
            ("Base Líquida", 29, 159),
            ("Sérum Facial Vitamina C", 39, 219),
        ],
        models: false,
    },
    Department {
        name: "Esporte e Lazer",
        makers: FASHION,
        finishes: COLOURS,
        nouns: &[
            ("Bicicleta Aro 29", 999, 3999),
            ("Tapete de Yoga", 39, 199),
            ("Kit Halteres 10 kg", 99, 349),
            ("Bola de Futebol", 49, 299),
            ("Barraca de Camping 4 Pessoas", 199, 899),
            ("Mochila de Trilha 40 L", 129, 599),
        ],
        models: false,
    },
    Department {
        name: "Brinquedos",
        makers: &["Pipa", "Peteca", "Curumim", "Cirandinha", "Saci", "Amarelinha"],
        finishes: &["Azul", "Rosa", "Verde", "Laranja", "Edição Especial"],
        nouns: &[
            ("Quebra-Cabeça 500 Peças", 35, 129),
            ("Boneca Articulada", 59, 259),
            ("Carrinho de Controle Remoto", 79, 399),
            ("Blocos de Montar", 49, 349),
            ("Jogo de Tabuleiro", 59, 219),
        ],
        models: false,
    },
    Department {
        name: "Livros",
        makers: &[
            "da Serra",
            "do Mar",
            "de Outono",
            "do Sertão",
            "da Meia-Noite",
            "sem Nome",
            "de Vidro",
            "do Cerrado",
        ],
        finishes: &["(Capa Comum)", "(Capa Dura)", "(Edição de Bolso)", "(Edição Ilustrada)"],
        nouns: &[
            ("O Segredo", 25, 89),
            ("A Casa", 25, 99),
            ("As Cartas", 29, 79),
            ("O Jardim", 25, 89),
            ("Memórias", 35, 119),
            ("A Última Noite", 25, 69),
            ("Os Filhos", 29, 99),
            ("O Silêncio", 19, 79),
        ],
        models: false,
    },
    Department {
        name: "Mercado",
        makers: HOME,
        finishes: &["Tradicional", "Orgânico", "Extra", "Pacote Econômico", "Kit com 3"],
        nouns: &[
            ("Café Torrado e Moído 500 g", 15, 59),
            ("Azeite Extravirgem 500 ml", 29, 99),
            ("Castanha-do-Pará 250 g", 19, 69),
            ("Mel Silvestre 500 g", 19, 59),
            ("Doce de Leite 400 g", 12, 39),
            ("Detergente Concentrado", 8, 29),
        ],
        models: false,
    },
    Department {
        name: "Pet Shop",
        makers: &["Caramelo", "Bigode", "Farejador", "Patinhas", "Tobias"],
        finishes: &["Filhote", "Adulto", "Porte Pequeno", "Porte Grande", "Sênior"],
        nouns: &[
            ("Ração para Cães 10 kg", 89, 299),
            ("Ração para Gatos 3 kg", 45, 149),
            ("Cama Macia", 59, 249),
            ("Brinquedo Mordedor", 15, 69),
            ("Coleira Antipulgas", 39, 199),
        ],
        models: false,
    },
    Department {
        name: "Bebês",
        makers: &["Cegonha", "Cirandinha", "Curumim", "Ninho", "Sonho Bom"],
        finishes: &["Azul", "Rosa", "Verde", "Bege", "Cinza"],
        nouns: &[
            ("Fralda Descartável M, 80 Unidades", 59, 129),
            ("Carrinho de Passeio", 299, 1499),
            ("Mamadeira 240 ml", 25, 89),
            ("Body Manga Longa, Kit com 3", 49, 129),
            ("Cadeirinha para Automóvel", 349, 1299),
        ],
        models: false,
    },
    Department {
        name: "Ferramentas",
        makers: TECHNICAL,
        finishes: VOLTAGES,
        nouns: &[
            ("Furadeira de Impacto 650 W", 149, 499),
            ("Parafusadeira a Bateria 12 V", 169, 699),
            ("Jogo de Chaves, 46 Peças", 59, 249),
            ("Serra Tico-Tico 500 W", 179, 549),
            ("Lavadora de Alta Pressão", 299, 1199),
        ],
        models: true,
    },
];
