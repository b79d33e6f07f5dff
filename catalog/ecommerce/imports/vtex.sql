-- Orders as VTEX exports them, a line for each product; the price is what was paid for one, after promotions.
-- Orders count from the approval of their payment on; all before it are left out, such as those that wait for the authorization to dispatch,
-- and so are those that are cancelled or are to be.
CREATE VIEW vtex WITH (profile_for = 'vendas', identity = 'item', status = 'Status') AS
SELECT
    "Order" AS id_pedido,
    "ID_SKU" AS id_produto,
    "Quantity_SKU" AS quantidade,
    "SKU Selling Price" AS preco,
    "Creation Date" AS timestamp,
    optional("Currency Code") AS moeda,
    coalesce(optional("Client Document"), optional("Email")) AS id_usuario,
    optional("UF") AS regiao,
    optional("Origin") AS canal
FROM arquivo
WHERE translate(lower(replace(coalesce("Status", ''), '-', ' ')), 'áàâãéêíóôõúç', 'aaaaeeiooouc') IN (
    '', 'pagamento aprovado', 'payment approved',
    'autorizar despacho', 'autorizar envio', 'despacho autorizado', 'authorize fulfillment', 'authorize dispatch',
    'carencia para cancelamento', 'janela para cancelamento', 'janela de cancelamento', 'em carencia para cancelamento', 'window to cancel', 'cancellation window', 'grace period',
    'pronto para manuseio', 'pronto para o manuseio', 'aguardando manuseio', 'ready for handling', 'waiting for handling',
    'iniciar manuseio', 'manuseio iniciado', 'em manuseio', 'start handling', 'handling',
    'preparando entrega', 'preparando envio', 'preparing delivery', 'handling shipping', 'handling shipment',
    'aguardando manuseio do seller', 'waiting seller handling', 'pronto para faturamento', 'ready for invoicing',
    'verificando fatura', 'verificando nota fiscal', 'verifying invoice', 'fatura', 'invoice',
    'fatura apos cancelamento negado', 'fatura pos cancelamento negado', 'cancelamento negado', 'invoice after cancellation deny',
    'invoice after cancellation denied', 'faturado', 'invoiced', 'billed',
    'enviado', 'despachado', 'shipped', 'dispatched', 'entregue', 'delivered'
);
