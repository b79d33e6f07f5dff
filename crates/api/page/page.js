// The dashboard: one model, the jobs that fill it, and the views that draw it.
//
// Sales come by stream; all else is polled every two seconds, or slower where it changes slowly; the open metric of the
// explorer has the second stream.
// Figures are anchored to the watermark, not to the clock: a minute counts as full once the watermark has passed it.

import { getJson, metricPath, parseTime, serverNow } from './modules/api.js';
import { Bars } from './modules/bars.js';
import { byId, el, oncePerFrame, setOverlay, setPanelError, setText } from './modules/dom.js';
import { Explorer, showLinks } from './modules/explorer.js';
import { configure, integer, money, period, shopCurrency, startOfDay } from './modules/format.js';
import { showFailures } from './modules/failures.js';
import { Funnel } from './modules/funnel.js';
import { Header } from './modules/header.js';
import { Ledger } from './modules/ledger.js';
import { Notices } from './modules/notices.js';
import { Origin } from './modules/origin.js';
import { Poller } from './modules/poller.js';
import { Reconciliation } from './modules/reconciliation.js';
import { SalesChart } from './modules/sales_chart.js';
import { Stream } from './modules/stream.js';
import { Tiles } from './modules/tiles.js';
import { UsersChart } from './modules/users_chart.js';
import { HOUR, MINUTE, WindowStore, floorTo, isPast, readRows } from './modules/windows.js';

const SALES = 'vendas_por_minuto';
const USERS = 'usuarios_ativos';
const TICKET = 'ticket_medio';
const FUNNEL = 'funil_conversao';
const VIEWED = 'produtos_mais_vistos';

/** The most rows one answer may have. */
const MOST_ROWS = 1000;
/** The newest minutes change all the time and are asked for in every cycle; late events reach the others now and then. */
const TAIL_MS = 6 * MINUTE;
const WHOLE_EVERY_MS = 30_000;
/** Checks come once an hour, and the ledger is for reading, not for watching. */
const SLOW_EVERY_MS = 15_000;
/** Some days of checks, one of each metric an hour: a difference stays in sight that long. */
const CHECK_ROWS = 500;
const LEDGER_ROWS = 8;
/** A short past keeps the search for the newest rows from going through the whole archive. */
const LEDGER_SPAN_MS = 24 * HOUR;
/** The tiles compare 60 minutes with the 60 before them; one hour more tells a quiet start from missing data. */
const LEAST_MS = 3 * HOUR + 5 * MINUTE;
/** With the watermark further behind than this, charts end at the watermark: the last hour by the clock would be blank. */
const FAR_BEHIND_MS = 10 * MINUTE;

const model = {
  catalog: null,
  currency: null,
  range: 60 * MINUTE,
  sold: 'all',
  sales: new WindowStore(),
  users: new WindowStore(),
  ticket: new WindowStore(),
  funnel: new WindowStore(),
  completeness: null,
  watermark: null,
  viewedRows: null,
  viewedWindow: null,
  soldRows: null,
  checkRows: null,
  ledgerRows: null,
  notices: null,
};

const header = new Header(() => poller.now());
const tiles = new Tiles(byId('tiles'));
const salesChart = new SalesChart(byId('sales-chart'));
const usersChart = new UsersChart(byId('users-chart'));
const viewed = new Bars(byId('viewed-bars'), { text: 'Nenhum produto visto agora', hint: 'Conta os eventos clique e visualizacao com id_produto.' });
const sold = new Bars(byId('sold-bars'), { text: 'Nenhum produto vendido', hint: 'Conta os eventos compra com id_produto.' });
const funnel = new Funnel(byId('funnel-steps'));
const origin = new Origin(byId('origin-body'));
const reconciliation = new Reconciliation(byId('proof-body'), byId('proof-state'));
const ledger = new Ledger(byId('ledger-list'));
const notices = new Notices(byId('notices'));
const explorer = new Explorer(byId('metrics'), byId('detail'));
const draw = oncePerFrame(show);

// What the page asks for

const wholeSales = { run: () => loadWhole(SALES, model.sales), everyMs: WHOLE_EVERY_MS, failed: showError('sales') };
const wholeUsers = { run: () => loadWhole(USERS, model.users), everyMs: WHOLE_EVERY_MS, failed: showError('users') };
const soldProducts = { run: loadSold, failed: showError('sold') };

const poller = new Poller(
  [
    { run: loadCatalog, everyMs: WHOLE_EVERY_MS },
    wholeSales,
    wholeUsers,
    { run: () => loadTail(SALES, model.sales), failed: showError('sales') },
    { run: () => loadTail(USERS, model.users), failed: showError('users') },
    { run: () => loadNewest(TICKET, model.ticket, 48), failed: showError('tiles', 'Ticket médio. ') },
    { run: () => loadNewest(FUNNEL, model.funnel, 24), failed: showError('funnel') },
    { run: loadViewed, failed: showError('viewed') },
    soldProducts,
    { run: loadChecks, everyMs: SLOW_EVERY_MS, failed: showError('proof') },
    { run: loadLedger, everyMs: SLOW_EVERY_MS, failed: showError('ledger') },
    { run: loadNotices },
    { run: () => explorer.refresh(), everyMs: 4_000 },
  ],
  (polled) => {
    header.setPolled(polled);
    draw();
  },
);

async function loadCatalog() {
  const { body, headers } = await getJson('/metricas');
  configure({ zone: headers.get('Vitral-Time-Zone'), currency: headers.get('Vitral-Currency') });
  model.catalog = body;
  explorer.setCatalog(body);
  showLinks(byId('origin-links'), body);
  showFailures(byId('failures'), body);
}

const inCatalog = (name) => model.catalog?.some((metric) => metric.nome === name);

async function loadMetric(name, parameters) {
  const { body } = await getJson(metricPath(name), parameters);
  learnCompleteness(body.completude, name);
  return body.linhas ?? [];
}

/** Everything the charts and tiles look at. The first time nobody knows how far the watermark is: take the newest rows. */
async function loadWhole(name, store) {
  if (!inCatalog(name)) return;
  if (model.watermark === null && !store.rows.length) {
    store.replaceAll(await loadMetric(name, { limite: MOST_ROWS }));
    return;
  }
  const from = chartEnd() - Math.max(model.range + 5 * MINUTE, LEAST_MS);
  store.replaceAll(await loadMetric(name, { de: new Date(from).toISOString(), limite: MOST_ROWS }));
}

async function loadTail(name, store) {
  if (!inCatalog(name)) return;
  const from = floorTo((model.watermark ?? serverNow()) - TAIL_MS, MINUTE);
  store.replaceSince(from, await loadMetric(name, { de: new Date(from).toISOString(), limite: MOST_ROWS }));
}

async function loadNewest(name, store, rows) {
  if (inCatalog(name)) store.replaceAll(await loadMetric(name, { limite: rows }));
}

async function loadNotices() {
  model.notices = (await getJson('/avisos')).body;
}

/** The ranking is of the newest window that has begun, however long ago that was: its time comes from the metric. */
async function loadViewed() {
  const ate = new Date(serverNow() + 1).toISOString();
  const newest = inCatalog(VIEWED) ? loadMetric(VIEWED, { ate, limite: 1 }) : [];
  const [{ body }, rows] = await Promise.all([getJson('/produtos/mais_vistos', { limite: 10 }), newest]);
  model.viewedRows = body;
  model.viewedWindow = body.length ? (readRows(rows)[0] ?? null) : null;
}

async function loadSold() {
  const wanted = model.sold;
  const currency = currencyShown();
  const { body } = await getJson('/produtos/mais_vendidos', {
    limite: 10,
    de: wanted === 'today' ? new Date(startOfDay(serverNow())).toISOString() : null,
    moeda: currency === shopCurrency() ? null : currency,
  });
  // The reader may have chosen something else while the answer was on its way.
  if (wanted === model.sold && currency === currencyShown()) model.soldRows = { currency, rows: body };
}

async function loadChecks() {
  model.checkRows = (await getJson('/reconciliacao', { limite: CHECK_ROWS })).body;
}

async function loadLedger() {
  const from = new Date(serverNow() - LEDGER_SPAN_MS).toISOString();
  model.ledgerRows = (await getJson('/livro', { de: from, limite: LEDGER_ROWS })).body;
}

function showError(panel, subject = '') {
  return (error) => setPanelError(byId(panel), error ? `${subject}${error.message}` : '');
}

/** Every answer carries the topic's counts; those of the sales metric stand for the page. */
function learnCompleteness(completeness, name) {
  if (!completeness || (name !== SALES && inCatalog(SALES))) return;
  model.completeness = completeness;
  const watermark = parseTime(completeness.marca_dagua);
  model.watermark = Number.isNaN(watermark) ? null : watermark;
  header.setWatermark(model.watermark);
}

new Stream(
  `${metricPath(SALES)}/ao_vivo`,
  (message) => {
    model.sales.replaceWindows(message.linhas);
    learnCompleteness(message.completude, SALES);
    draw();
  },
  (state) => header.setStreamOpen(state === 'open'),
);

// What the page shows

/** The end of the charts: the current minute, or the watermark where that is far behind. */
function chartEnd() {
  const now = serverNow();
  const behind = model.watermark !== null && now - model.watermark > FAR_BEHIND_MS;
  return floorTo(behind ? model.watermark : now, MINUTE) + MINUTE;
}

/** About when the oldest loaded event happened: the first sale, or the last minute of the first window of users. */
function firstEvent() {
  const firsts = [];
  if (model.sales.rows.length) firsts.push(model.sales.rows[0].start);
  if (model.users.rows.length) firsts.push(model.users.rows[0].end - MINUTE);
  return firsts.length ? Math.min(...firsts) : null;
}

function currencies() {
  const seen = new Set([...model.sales.currencies(), ...model.ticket.currencies()]);
  return [...seen].sort((a, b) => (b === shopCurrency()) - (a === shopCurrency()) || a.localeCompare(b));
}

function currencyShown() {
  const known = currencies();
  return known.includes(model.currency) ? model.currency : (known[0] ?? shopCurrency());
}

function show() {
  const now = serverNow();
  const { watermark, completeness } = model;
  const currency = currencyShown();
  const edge = floorTo(watermark ?? now, MINUTE);
  const to = chartEnd();
  const from = to - model.range;
  const dataSince = firstEvent();
  const context = { currency, edge, watermark, now, from, to, dataSince };

  showCurrencies(currency);
  if (model.sales.loaded) tiles.update({ ...context, sales: model.sales, users: model.users, ticket: model.ticket });
  if (ready(SALES, model.sales, byId('sales-chart'))) salesChart.update({ ...context, rows: model.sales.of(currency) });
  if (ready(USERS, model.users, byId('users-chart'))) usersChart.update({ ...context, rows: model.users.rows });
  if (model.viewedRows) {
    viewed.update(model.viewedRows.map(viewedItem));
    setText(byId('viewed-period'), `cliques e visualizações, ${viewedPeriod(model.viewedWindow, now)}`);
  }
  if (model.soldRows) sold.update(model.soldRows.rows.map((row) => soldItem(row, model.soldRows.currency)));
  if (ready(FUNNEL, model.funnel, byId('funnel-steps'))) funnel.update({ ...context, rows: model.funnel.rows });
  if (completeness) origin.update({ ...context, completeness });
  if (model.checkRows) reconciliation.update({ ...context, rows: model.checkRows.filter((row) => inCatalog(row.metrica)) });
  if (model.ledgerRows) ledger.update({ ...context, rows: model.ledgerRows });
  if (model.notices) notices.update({ ...context, rows: model.notices });
  explorer.update(context);
  byId('welcome').hidden = !(completeness && Number(completeness.lidas ?? 0) === 0 && dataSince === null);
}

/** Whether a panel has something to show; if its metric is gone from the catalog, the panel says so. */
function ready(name, store, host) {
  if (model.catalog && !inCatalog(name)) setOverlay(host, 'Métrica fora do catálogo', `${name} não está em GET /metricas.`);
  else if (store.loaded) return true;
  return false;
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

/** The choice of a currency appears only where there is one. */
function showCurrencies(currency) {
  const known = currencies();
  byId('currency-fact').hidden = known.length < 2;
  const select = byId('currency');
  if (select.dataset.known !== known.join()) {
    select.dataset.known = known.join();
    select.replaceChildren(...known.map((code) => el('option', { value: code }, code)));
  }
  select.value = currency;
}

// What the reader chooses

byId('currency').addEventListener('change', (event) => {
  model.currency = event.target.value;
  poller.hurry(soldProducts);
  draw();
});

byId('range').addEventListener('change', (event) => {
  model.range = Number(event.target.value) * MINUTE;
  poller.hurry(wholeSales);
  poller.hurry(wholeUsers);
  draw();
});

byId('sold-range').addEventListener('change', (event) => {
  model.sold = event.target.value;
  setText(byId('sold-period'), model.sold === 'today' ? 'unidades e receita, desde a meia-noite da loja' : 'unidades e receita, todo o histórico');
  poller.hurry(soldProducts);
});

for (const id of ['sales-chart', 'users-chart', 'viewed-bars', 'sold-bars', 'funnel-steps', 'origin-body', 'proof-body', 'ledger-list', 'detail']) {
  setOverlay(byId(id), 'Carregando…');
}
document.addEventListener('visibilitychange', () => document.hidden || draw());
// The current minute moves on even when nothing arrives.
setInterval(() => document.hidden || draw(), 5_000);
draw();
poller.now();
