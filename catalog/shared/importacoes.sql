-- What was imported, the newest first: what each import has come to, as it was last recorded.
CREATE VIEW importacoes_recentes WITH (path = '/importacoes', scope = 'importacoes:read', limite = 100, descricao = 'Files that were imported') AS
SELECT
    id, instante, estado, topico, tabela, arquivo, contadas, conhecidas, duplicadas, recusadas, de, ate, entendimento, substituida_por
FROM (
    SELECT *, row_number() OVER (PARTITION BY id ORDER BY instante DESC, estado) AS registro
    FROM importacoes
)
WHERE
    registro = 1
    AND ($de IS NULL OR instante >= $de)
    AND ($ate IS NULL OR instante < $ate)
    AND ($estado IS NULL OR estado = $estado)
    AND ($topico IS NULL OR topico = $topico)
    AND ($arquivo IS NULL OR arquivo = $arquivo)
ORDER BY instante DESC, id
LIMIT $limite;
