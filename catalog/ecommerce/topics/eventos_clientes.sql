-- What customers do in the shop: one JSON object per event.
CREATE TABLE eventos_clientes (
    -- Texts that are keys somewhere hold 256 bytes: what databases can index.
    id_usuario VARCHAR(256) NOT NULL,
    tipo_evento VARCHAR(256) NOT NULL,
    timestamp TIMESTAMP NOT NULL,
    id_produto TEXT_OR_NUMBER(256),
    id_evento TEXT_OR_NUMBER(256),
    id_sessao TEXT_OR_NUMBER(256),
    id_pedido TEXT_OR_NUMBER(256),
    canal TEXT_OR_NUMBER(256),
    regiao TEXT_OR_NUMBER(256),
    categoria TEXT_OR_NUMBER(256),
    id_afiliado TEXT_OR_NUMBER(256),
    -- The upper bound keeps every sum of units and of money exact.
    quantidade BIGINT
        DEFAULT CASE WHEN tipo_evento IN ('compra', 'reembolso', 'adicao_carrinho', 'remocao_carrinho') THEN 1 END
        CHECK (quantidade BETWEEN 1 AND 1000000000),
    preco DECIMAL(18, 2) CHECK (preco >= 0),
    valor_total DECIMAL(18, 2) CHECK (valor_total >= 0),
    desconto DECIMAL(18, 2) CHECK (desconto >= 0),
    moeda CURRENCY DEFAULT current_setting('domain.currency')
) WITH (
    connector = 'kafka',
    topic = 'eventos_clientes',
    event_time = 'timestamp',
    event_id = 'id_evento',
    watermark = '10 seconds',
    lateness = '1 hour',
    ahead = '1 hour',
    idle = '30 seconds',
    -- POST /eventos, whose messages have the user as key; an event or order is found again by its id.
    path = '/eventos',
    scope = 'eventos:write',
    key = 'id_usuario',
    trace = 'id_evento, id_pedido',
    trace_path = '/pedidos/{id}/rastro'
);
