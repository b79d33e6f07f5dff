// What the page has to show, from the API's answers alone, with a formatting of its own.

const LOCALE = 'pt-BR';
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const LEDGER_ROWS = 8;
const LEDGER_ORDER = [['nao_entregue', 'recusada', 'atrasada'], ['duplicada', 'vazia']];
const ALERT_ROWS = 200;
/** States of alerts that have not passed, with their names for one and for several. */
const STANDING = { disparado: ['disparado', 'disparados'], pendente: ['pendente', 'pendentes'], falha: ['a consulta falha', 'consultas falham'] };
const STOCK_ROWS = 50;
const TABLE_ROWS = 25;
/** As many as the page loads of an opened metric. */
const HISTORY_ROWS = 300;
const WINDOW_COLUMNS = ['janela_inicio', 'janela_fim', 'provisoria'];
const MONEY = ['receita', 'receita_liquida', 'ticket'];
const STEPS = { visualizacao: 'Viram um produto', adicao_carrinho: 'Puseram no carrinho', inicio_checkout: 'Iniciaram o checkout', compra: 'Compraram' };
const VERDICTS = {
  contadas: 'Contadas entraram nas métricas',
  duplicadas: 'Duplicadas id_evento já contado',
  atrasadas: 'Atrasadas chegaram depois da tolerância',
  recusadas: 'Recusadas inválidas, copiadas para eventos_clientes.dlq',
};

/** Blanks of all kinds are one. */
export const clean = (text) => text.replace(/[\s\u00a0\u202f]+/g, ' ').trim();

const integer = (value) => new Intl.NumberFormat(LOCALE).format(value);
const decimal = (value, digits) => new Intl.NumberFormat(LOCALE, { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(value);
const money = (value, currency) => clean(new Intl.NumberFormat(LOCALE, { style: 'currency', currency }).format(value));

/** The texts of the parts of each row that can be seen. */
export async function shown(page, { rows, parts }) {
  const texts = (nodes, selectors) => {
    const text = (node) => [...(node?.childNodes ?? [])].map((child) => child.textContent).join(' ');
    const visible = nodes.filter((node) => node.offsetParent !== null);
    return visible.map((node) => selectors.map((selector) => text(node.querySelector(selector))));
  };
  const found = await page.locator(rows).evaluateAll(texts, parts);
  return found.map((row) => row.map(clean));
}

/** Every figure of the page, by panel, and the table of every metric. */
export async function expectations(api) {
  const get = async (path) => (await fetch(api + path)).json();
  const head = await fetch(`${api}/metricas`);
  const currency = head.headers.get('vitral-currency');
  const catalog = await head.json();
  const metrics = {};
  for (const { nome } of catalog) metrics[nome] = await get(`/metricas/${nome}?limite=1000`);
  const { completude } = metrics.vendas_por_minuto;
  const watermark = Date.parse(completude.marca_dagua);

  const from = new Date(Date.now() - DAY).toISOString();
  const ledger = [];
  for (const verdicts of LEDGER_ORDER) {
    const answers = await Promise.all(verdicts.map((verdict) => get(`/livro?de=${from}&veredito=${verdict}&limite=${LEDGER_ROWS}`)));
    ledger.push(...answers.flat().sort((a, b) => Date.parse(b.chegada) - Date.parse(a.chegada)));
  }
  const viewed = await get('/produtos/mais_vistos?limite=10');
  const stock = await get(`/estoque/alertas?limite=${STOCK_ROWS}`);
  const others = metrics.vendas_por_minuto.linhas.map(({ moeda }) => moeda).filter((code) => code !== currency);
  const sold = { rows: '#sold-bars > li.bar', parts: ['.bar-rank', '.bar-label', '.bar-text', '.bar-note'] };
  const soldIn = async (code) => (await get(`/produtos/mais_vendidos?limite=10&moeda=${code}`)).map((row, index) => [
    String(index + 1), label(row), `${integer(row.total_vendido)} un.`, money(row.receita, code),
  ]);
  return {
    panels: [
      {
        what: 'messages read',
        select: { rows: '#origin-body .origin-head', parts: ['.origin-read'] },
        figures: [[integer(completude.lidas)]],
      },
      {
        what: 'what became of them',
        select: { rows: '#origin-body table.verdicts tr', parts: ['th', 'td'] },
        figures: Object.entries(VERDICTS).map(([name, text]) => [text, integer(completude[name])]),
      },
      { what: 'the tiles', select: { rows: '#tiles article', parts: ['.tile-value'] }, figures: tiles(metrics, watermark, currency) },
      {
        what: 'products viewed',
        select: { rows: '#viewed-bars > li.bar', parts: ['.bar-rank', '.bar-label', '.bar-text'] },
        figures: viewed.map((row) => [String(row.posicao), label(row), integer(row.visualizacoes)]),
      },
      { what: 'products sold', select: sold, figures: await soldIn(currency) },
      { what: 'the funnel', select: { rows: '#funnel-steps > li.step', parts: ['.step-label', '.step-users'] }, figures: funnel(metrics.funil_conversao.linhas) },
      {
        what: 'products that run short',
        // What the alert makes of them changes with time.
        select: { rows: '#stock-rows > tr', parts: [1, 2, 3, 4].map((column) => `td:nth-child(${column})`) },
        figures: stock.map((row) => [
          label(row), integer(row.nivel_estoque), decimal(row.velocidade_dia, 2), row.dias_cobertura === null ? '—' : decimal(row.dias_cobertura, 1),
        ]),
      },
      {
        what: 'the ledger',
        select: { rows: '#ledger-list > li.entry', parts: ['b', '.sub'] },
        figures: ledger.slice(0, LEDGER_ROWS).map((row) => [
          row.veredito[0].toUpperCase() + row.veredito.slice(1),
          `${row.topico} · partição ${row.particao} · deslocamento ${row.deslocamento}`,
        ]),
      },
      { what: 'the list of metrics', select: { rows: '#metrics > li', parts: ['.metric-name'] }, figures: catalog.map(({ nome }) => [nome]) },
    ],
    metrics: catalog.map((metric) => table(metric, metrics[metric.nome].linhas, currency)),
    otherCurrency: others.length ? { code: others[0], select: sold, figures: await soldIn(others[0]) } : null,
  };
}

/** What the page has to show of alerts, each in a line that unfolds to its keys. A key that waits fires by itself after a while. */
export async function alerts(api) {
  const all = await (await fetch(`${api}/alertas?limite=${ALERT_ROWS}`)).json();
  const standing = all.filter(({ estado }) => estado in STANDING);
  return [...new Set(standing.map(({ alerta }) => alerta))].map((name) => {
    const keys = standing.filter(({ alerta }) => alerta === name);
    const counts = Object.entries(STANDING).map(([state, words]) => [keys.filter(({ estado }) => estado === state).length, words]);
    const rows = keys.flatMap(({ estado, conteudo }) => JSON.parse(conteudo).map((row) => ({ row, estado })));
    const columns = Object.keys(rows[0].row);
    const places = columns.map((column, index) => ({ column, place: index + 1 })).filter(({ column }) => !rows.some(({ row }) => isTime(row[column])));
    return {
      name,
      counts: counts.filter(([count]) => count).map(([count, [one, many]]) => `· ${integer(count)} ${count === 1 ? one : many}`).join(' '),
      columns: [...places.map(({ place }) => place), columns.length + 1],
      figures: rows.map(({ row, estado }) => [...places.map(({ column }) => cell(column, false, row)), STANDING[estado][0]]),
    };
  });
}

const label = (row) => row.nome ?? row.id_produto ?? '(sem produto)';
/** Rows of tables without windows are all of now. */
const start = (row) => (row.janela_inicio === undefined ? 0 : Date.parse(row.janela_inicio));
const isTime = (value) => typeof value === 'string' && /^\d{4}-\d\d-\d\dT/.test(value);
const end = (row) => Date.parse(row.janela_fim);
const cents = (value) => Math.round(value * 100);

function tiles({ vendas_por_minuto, usuarios_ativos, ticket_medio }, watermark, currency) {
  const edge = Math.floor(watermark / MINUTE) * MINUTE;
  const sales = vendas_por_minuto.linhas.filter((row) => row.moeda === currency);
  const minute = sales.find((row) => start(row) === edge - MINUTE);
  const hour = sales.filter((row) => start(row) >= edge - HOUR && end(row) <= edge).reduce((sum, row) => sum + cents(row.receita), 0);
  const users = usuarios_ativos.linhas.find((row) => start(row) === edge - 5 * MINUTE);
  const ticket = ticket_medio.linhas.find((row) => row.moeda === currency && start(row) <= watermark && watermark < end(row));
  return [
    [money(minute?.receita ?? 0, currency)],
    [money(hour / 100, currency)],
    [integer(minute?.pedidos ?? 0)],
    [integer(users?.usuarios ?? 0)],
    [ticket?.ticket == null ? '—' : money(ticket.ticket, currency)],
  ];
}

function funnel(rows) {
  const newest = Math.max(...rows.map(start));
  return rows
    .filter((row) => start(row) === newest)
    .sort((a, b) => a.ordem - b.ordem)
    .map((row) => [STEPS[row.etapa], integer(row.usuarios)]);
}

/** What the explorer's table has: the newest window of a metric with keys, else the newest windows or sessions, each in a row. */
function table({ nome, descricao, janela, colunas }, all, currency) {
  const columns = colunas.map((column) => column.nome ?? column).filter((column) => !WINDOW_COLUMNS.includes(column));
  const rows = all.slice(0, HISTORY_ROWS).sort((a, b) => start(a) - start(b));
  const hasWindows = colunas.some((column) => column.nome === 'janela_inicio');
  const isKeyed = !janela.startsWith('sessão') && columns.some((column) => column !== 'moeda' && rows.some((row) => typeof row[column] === 'string' && !isTime(row[column])));
  const newest = Math.max(...rows.map(start));
  const window = rows.filter((row) => start(row) === newest);
  const wanted = isKeyed ? window.slice(0, TABLE_ROWS) : rows.slice(-TABLE_ROWS).reverse();
  const isPart = isKeyed && all.length > HISTORY_ROWS && window.length === rows.length;
  const first = isKeyed || !hasWindows ? 1 : 2;
  // Of rows that say their currency, every column of cents is an amount.
  const amounts = new Set(colunas.filter(({ tipo }) => /decimal\(\d+,\s*2\)/i.test(tipo)).map(({ nome: column }) => column));
  // Times are written as seen from now, which goes on.
  const places = columns.map((column, index) => ({ column, place: index + first })).filter(({ column }) => !rows.some((row) => isTime(row[column])));
  return {
    name: nome,
    description: clean(descricao.replaceAll('`', '')),
    isUnranked: isPart && !hasWindows,
    note: note(hasWindows, isPart, isKeyed ? window.length - TABLE_ROWS : 0),
    columns: places.map(({ place }) => place),
    figures: wanted.map((row) => places.map(({ column }) => cell(column, amounts.has(column) && row.moeda, row, currency))),
  };
}

/** What is said of the rows that are not in the table. */
function note(hasWindows, isPart, left) {
  if (isPart) return `As primeiras ${TABLE_ROWS} linhas${hasWindows ? ' desta janela' : ', por chave'}; há mais no JSON.`;
  return left > 0 ? `Mais ${integer(left)} linhas${hasWindows ? ' nesta janela' : ''}, no JSON.` : '';
}

function cell(column, isAmount, row, currency) {
  const value = row[column];
  if (value === null || value === undefined) return '—';
  if (typeof value === 'string') return clean(value);
  return isAmount || MONEY.includes(column) ? money(value, row.moeda ?? currency) : integer(value);
}
