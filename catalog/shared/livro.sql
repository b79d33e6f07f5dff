-- What did not count, newest first: refused, late, duplicate and empty messages, offsets that were never delivered, and rows of files that
-- were refused or duplicate. Long contents are cut; one message, by its topic, partition and offset, has more.
CREATE VIEW livro_recente WITH (path = '/livro', scope = 'livro:read', limite = 100, descricao = 'The ledger: messages and rows of files that did not count') AS
SELECT
    topico, particao, deslocamento, deslocamento_fim, veredito, motivo, chegada,
    left(conteudo, CASE WHEN $deslocamento IS NULL THEN 4096 ELSE 1048576 END) AS conteudo,
    tamanho, arquivo, planilha, linha, detalhe
FROM livro
WHERE
    ($de IS NULL OR chegada >= $de)
    AND ($ate IS NULL OR chegada < $ate)
    AND ($veredito IS NULL OR veredito = $veredito)
    AND ($motivo IS NULL OR motivo = $motivo)
    AND ($topico IS NULL OR topico = $topico)
    AND ($particao IS NULL OR particao = CAST($particao AS INTEGER))
    AND ($deslocamento IS NULL OR deslocamento = CAST($deslocamento AS BIGINT))
    AND ($arquivo IS NULL OR arquivo = $arquivo)
ORDER BY chegada DESC, topico, particao, deslocamento DESC, arquivo, linha
LIMIT $limite;
