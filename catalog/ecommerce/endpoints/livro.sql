-- What did not count, newest first: refused, late, duplicate and empty messages, and offsets that were never delivered.
CREATE VIEW livro_recente WITH (path = '/livro', limite = 100, descricao = 'The ledger: messages that did not count') AS
SELECT topico, particao, deslocamento, deslocamento_fim, veredito, motivo, chegada, conteudo
FROM livro
WHERE
    ($de IS NULL OR chegada >= $de)
    AND ($ate IS NULL OR chegada < $ate)
    AND ($veredito IS NULL OR veredito = $veredito)
    AND ($motivo IS NULL OR motivo = $motivo)
    AND ($topico IS NULL OR topico = $topico)
ORDER BY chegada DESC, topico, particao, deslocamento DESC
LIMIT $limite;
