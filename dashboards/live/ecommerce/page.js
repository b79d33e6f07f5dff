// The shop's page: sales, users, rankings and the funnel, above what every page has.
//
// Figures are anchored to the watermark, not to the clock: a minute counts as full once the watermark has passed it.

import { getJson, serverNow } from '../shared/api.js';
import { Bars } from '../shared/bars.js';
import { byId, setText } from '../shared/dom.js';
import { domainCurrency, integer, money, period, startOfDay } from '../shared/format.js';
import { Page, WHOLE_EVERY_MS } from '../shared/page.js';
import { HOUR, MINUTE, WindowStore, floorTo, isPast, readRows } from '../shared/windows.js';
import { Funnel } from './funnel.js';
import { SalesChart } from './sales_chart.js';
import { Stock } from './stock.js';
import { Tiles } from './tiles.js';
import { UsersChart } from './users_chart.js';

const SALES = 'vendas_por_minuto';
const USERS = 'usuarios_ativos';
const TICKET = 'ticket_medio';
const FUNNEL = 'funil_conversao';
const VIEWED = 'produtos_mais_vistos';

/** The most rows one answer may have. */
const MOST_ROWS = 1000;
/** Stock is reported now and then. */
const STOCK_EVERY_MS = 10_000;
/** Products in the list of those that run short. */
const MOST_SHORT = 50;
/** The newest minutes change all the time and are asked for in every cycle; late events reach the others now and then. */
const TAIL_MS = 6 * MINUTE;
/** The tiles compare 60 minutes with the 60 before them; one hour more tells a quiet start from missing data. */
const LEAST_MS = 3 * HOUR + 5 * MINUTE;
/** With the watermark further behind than this, charts end at the watermark: the last hour by the clock would be blank. */
const FAR_BEHIND_MS = 10 * MINUTE;

const model = {
  range: 60 * MINUTE,
  sold: 'all',
  sales: new WindowStore(),
  users: new WindowStore(),
  ticket: new WindowStore(),
  funnel: new WindowStore(),
  viewedRows: null,
  viewedWindow: null,
  soldRows: null,
  shortRows: [],
};

const page = new Page({
  leading: SALES,
  // The one with the most to say that has no panel of its own.
  opened: 'vendas_por_produto',
  topic: 'eventos_clientes',
  money: /^(receita|ticket|valor|preco|desconto|reembolso|faturamento)/,
  reasons: {
    campo_ausente: 'falta um campo obrigatório (id_usuario, tipo_evento, timestamp)',
    tempo: 'o timestamp não é um horário RFC 3339, como 2025-05-14T12:34:56Z',
    futuro: 'o timestamp está no futuro',
  },
});
const tiles = new Tiles(byId('tiles'));
// In sight on the first screen, and below the key figures.
byId('tiles').after(byId('alerts'));
const salesChart = new SalesChart(byId('sales-chart'));
const usersChart = new UsersChart(byId('users-chart'));
const viewed = new Bars(byId('viewed-bars'), { text: 'Nenhum produto visto agora', hint: 'Conta os eventos clique e visualizacao com id_produto.' });
const sold = new Bars(byId('sold-bars'), { text: 'Nenhum produto vendido', hint: 'Conta os eventos compra com id_produto.' });
const funnel = new Funnel(byId('funnel-steps'));
const stock = new Stock(byId('stock'), byId('stock-rows'), byId('stock-state'));

// What the page asks for

const wholeSales = { run: () => loadWhole(SALES, model.sales), everyMs: WHOLE_EVERY_MS, failed: page.failed('sales') };
const wholeUsers = { run: () => loadWhole(USERS, model.users), everyMs: WHOLE_EVERY_MS, failed: page.failed('users') };
const soldProducts = { run: loadSold, failed: page.failed('sold') };

/** Everything the charts and tiles look at. The first time nobody knows how far the watermark is: take the newest rows. */
async function loadWhole(name, store) {
  if (!page.has(name)) return;
  if (page.watermark === null && !store.rows.length) {
    store.replaceAll(await page.loadMetric(name, { limite: MOST_ROWS }));
    return;
  }
  const from = chartEnd() - Math.max(model.range + 5 * MINUTE, LEAST_MS);
  store.replaceAll(await page.loadMetric(name, { de: new Date(from).toISOString(), limite: MOST_ROWS }));
}

async function loadTail(name, store) {
  if (!page.has(name)) return;
  const from = floorTo((page.watermark ?? serverNow()) - TAIL_MS, MINUTE);
  store.replaceSince(from, await page.loadMetric(name, { de: new Date(from).toISOString(), limite: MOST_ROWS }));
}

async function loadNewest(name, store, rows) {
  if (page.has(name)) store.replaceAll(await page.loadMetric(name, { limite: rows }));
}

/** The ranking is of the newest window that has begun, however long ago that was: its time comes from the metric. */
async function loadViewed() {
  const ate = new Date(serverNow() + 1).toISOString();
  const newest = page.has(VIEWED) ? page.loadMetric(VIEWED, { ate, limite: 1 }) : [];
  const [{ body }, rows] = await Promise.all([getJson('/produtos/mais_vistos', { limite: 10 }), newest]);
  model.viewedRows = body;
  model.viewedWindow = body.length ? (readRows(rows)[0] ?? null) : null;
}

async function loadSold() {
  const wanted = model.sold;
  const currency = page.currency.shown();
  const { body } = await getJson('/produtos/mais_vendidos', {
    limite: 10,
    de: wanted === 'today' ? new Date(startOfDay(serverNow())).toISOString() : null,
    moeda: currency === domainCurrency() ? null : currency,
  });
  // The reader may have chosen something else while the answer was on its way.
  if (wanted === model.sold && currency === page.currency.shown()) model.soldRows = { currency, rows: body };
}

async function loadStock() {
  model.shortRows = (await getJson('/estoque/alertas', { limite: MOST_SHORT })).body;
}

// What the page shows

/** The end of the charts: the current minute, or the watermark where that is far behind. */
function chartEnd() {
  const now = serverNow();
  const behind = page.watermark !== null && now - page.watermark > FAR_BEHIND_MS;
  return floorTo(behind ? page.watermark : now, MINUTE) + MINUTE;
}

/** About when the oldest loaded event happened: the first sale, or the last minute of the first window of users. */
function firstEvent() {
  const firsts = [];
  if (model.sales.rows.length) firsts.push(model.sales.rows[0].start);
  if (model.users.rows.length) firsts.push(model.users.rows[0].end - MINUTE);
  return firsts.length ? Math.min(...firsts) : null;
}

function show(shared) {
  const { currency, watermark, now } = shared;
  const to = chartEnd();
  const context = { ...shared, edge: floorTo(watermark ?? now, MINUTE), from: to - model.range, to, dataSince: firstEvent() };
  if (model.sales.loaded) tiles.update({ ...context, sales: model.sales, users: model.users, ticket: model.ticket });
  if (page.ready(SALES, model.sales, byId('sales-chart'))) salesChart.update({ ...context, rows: model.sales.of(currency) });
  if (page.ready(USERS, model.users, byId('users-chart'))) usersChart.update({ ...context, rows: model.users.rows });
  if (model.viewedRows) {
    viewed.update(model.viewedRows.map(viewedItem));
    setText(byId('viewed-period'), `cliques e visualizações, ${viewedPeriod(model.viewedWindow, now)}`);
  }
  if (model.soldRows) sold.update(model.soldRows.rows.map((row) => soldItem(row, model.soldRows.currency)));
  if (page.ready(FUNNEL, model.funnel, byId('funnel-steps'))) funnel.update({ ...context, rows: model.funnel.rows });
  stock.update(model.shortRows, MOST_SHORT);
}

function viewedPeriod(window, now) {
  if (!window) return 'minuto a minuto';
  return `${isPast(window, now) ? 'último minuto com eventos: ' : ''}${period(window.start, window.end, now)}`;
}

const productLabel = (row) => row.nome ?? row.id_produto ?? '(sem produto)';

function viewedItem(row) {
  return { key: String(row.id_produto), label: productLabel(row), value: Number(row.visualizacoes), text: integer(row.visualizacoes) };
}

function soldItem(row, currency) {
  return {
    key: String(row.id_produto),
    label: productLabel(row),
    value: Number(row.total_vendido),
    text: `${integer(row.total_vendido)} un.`,
    note: money(row.receita ?? 0, currency),
  };
}

// What the reader chooses

byId('range').addEventListener('change', (event) => {
  model.range = Number(event.target.value) * MINUTE;
  page.hurry(wholeSales);
  page.hurry(wholeUsers);
  page.draw();
});

byId('sold-range').addEventListener('change', (event) => {
  model.sold = event.target.value;
  setText(byId('sold-period'), model.sold === 'today' ? 'unidades e receita, desde a meia-noite da loja' : 'unidades e receita, todo o histórico');
  page.hurry(soldProducts);
});

page.start({
  jobs: [
    wholeSales,
    wholeUsers,
    { run: () => loadTail(SALES, model.sales), failed: page.failed('sales') },
    { run: () => loadTail(USERS, model.users), failed: page.failed('users') },
    { run: () => loadNewest(TICKET, model.ticket, 48), failed: page.failed('tiles', 'Ticket médio. ') },
    { run: () => loadNewest(FUNNEL, model.funnel, 24), failed: page.failed('funnel') },
    { run: loadViewed, failed: page.failed('viewed') },
    soldProducts,
    { run: loadStock, everyMs: STOCK_EVERY_MS, failed: page.failed('stock') },
  ],
  loading: ['sales-chart', 'users-chart', 'viewed-bars', 'sold-bars', 'funnel-steps'],
  currencies: () => [...model.sales.currencies(), ...model.ticket.currencies()],
  currencyChanged: () => page.hurry(soldProducts),
  leadingRows: (rows) => model.sales.replaceWindows(rows),
  hasEvents: () => firstEvent() !== null,
  show,
});
