-- What alerts have seen, those that fire first, then the newest: one row for each time that a key came into an alert's rows.
CREATE VIEW alertas_recentes WITH (path = '/alertas', scope = 'alertas:read', limite = 100, descricao = 'Alerts: what is pending, what fires, what is resolved') AS
SELECT
    alerta, chave, estado, desde, disparado_em, resolvido_em, severidade, linhas, silenciado, notificacao, conteudo, episodio
FROM alertas
WHERE
    ($de IS NULL OR desde >= $de)
    AND ($ate IS NULL OR desde < $ate)
    AND ($alerta IS NULL OR alerta = $alerta)
    AND ($chave IS NULL OR chave = $chave)
    AND ($estado IS NULL OR estado = $estado)
    AND ($severidade IS NULL OR severidade = $severidade)
ORDER BY
    CASE estado WHEN 'falha' THEN 0 WHEN 'disparado' THEN 1 WHEN 'pendente' THEN 2 ELSE 3 END,
    desde DESC, alerta, chave
LIMIT $limite;
