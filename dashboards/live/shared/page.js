// What every domain's page has: the header, completeness, checks, the ledger and all metrics, and the jobs that fill them.
//
// One metric leads: its completeness stands for the page, and its rows come by stream. All else is polled every two
// seconds, or slower where it changes slowly; the open metric of the explorer has the second stream.

import { Alerts } from './alerts.js';
import { getJson, metricPath, parseTime, serverNow } from './api.js';
import { nameMoney } from './columns.js';
import { CurrencyChoice } from './currency.js';
import { byId, el, oncePerFrame, setOverlay, setPanelError } from './dom.js';
import { Explorer, showLinks } from './explorer.js';
import { showFailures } from './failures.js';
import { configure } from './format.js';
import { Header } from './header.js';
import { Ledger } from './ledger.js';
import { Notices } from './notices.js';
import { Origin } from './origin.js';
import { Poller } from './poller.js';
import { Reconciliation } from './reconciliation.js';
import { Stream } from './stream.js';
import { HOUR } from './windows.js';

/** The catalog, and what covers a longer time than the newest minutes, changes slowly. */
export const WHOLE_EVERY_MS = 30_000;
/** Checks come once an hour, and the ledger is for reading, not for watching. */
const SLOW_EVERY_MS = 15_000;
/** Those that stand come first. */
const ALERT_ROWS = 200;
/** Some days of checks, one of each metric an hour: a difference stays in sight that long. */
const CHECK_ROWS = 500;
const LEDGER_ROWS = 8;
/** Those that come twice or empty are by far the most, and say the least: they are shown where the others leave room. */
const LEDGER_ORDER = [['nao_entregue', 'recusada', 'atrasada'], ['duplicada', 'vazia']];
const ALERTS_EVERY_MS = 4_000;
/** A short past keeps the search for the newest rows from going through the whole archive. */
const LEDGER_SPAN_MS = 24 * HOUR;
/** The parts of the page that are filled by requests. */
const LOADING = ['origin-body', 'proof-body', 'ledger-list', 'detail'];

/** What a domain may add; see `start`. */
const NOTHING_MORE = {
  jobs: [],
  loading: [],
  currencies: () => [],
  currencyChanged: () => {},
  leadingRows: () => {},
  hasEvents: () => false,
  show: () => {},
};

export class Page {
  /**
   * What the domain calls things, all of it optional: its `leading` metric (else the catalog's first), the metric that
   * is `opened` first in the explorer, the `topic` that its panels count, `money` (a pattern of the names of columns
   * that hold money without saying in which currency), and `reasons` that name its own fields where a message was refused.
   */
  constructor({ leading = null, opened = null, topic = null, money = null, reasons = {} } = {}) {
    this.leading = leading;
    this.parts = NOTHING_MORE;
    this.catalog = null;
    this.completeness = null;
    this.watermark = null;
    this.checkRows = null;
    this.ledgerRows = null;
    this.alertRows = null;
    this.noticeRows = null;
    this.stream = null;
    this.draw = oncePerFrame(() => this.show());
    this.header = new Header(() => this.poller.now());
    this.currency = new CurrencyChoice(byId('currency-fact'), byId('currency'), () => {
      this.parts.currencyChanged();
      this.draw();
    });
    this.origin = new Origin(byId('origin-body'), topic);
    this.reconciliation = new Reconciliation(byId('proof-body'), byId('proof-state'));
    this.ledger = new Ledger(byId('ledger-list'));
    this.alerts = new Alerts(byId('alerts'), byId('alerts-list'), byId('alerts-sub'));
    this.notices = new Notices(byId('notices'), reasons);
    this.explorer = new Explorer(byId('metrics'), byId('detail'), opened);
    nameMoney(money);
    if (topic) byId('origin-sub').replaceChildren('tópico ', el('code', {}, topic), ', desde o início do arquivo');
  }

  /**
   * Takes the domain's own parts, all optional, and begins: `jobs` of the poller; ids of panels that are `loading` at
   * first; the `currencies` it has seen; what follows when the reader's `currencyChanged`; the `leadingRows` that the
   * stream brings; whether it `hasEvents`; and `show(context)`, which draws its panels.
   */
  start(parts) {
    this.parts = { ...NOTHING_MORE, ...parts };
    for (const id of [...this.parts.loading, ...LOADING]) setOverlay(byId(id), 'Carregando…');
    this.poller = new Poller(
      [
        { run: () => this.loadCatalog(), everyMs: WHOLE_EVERY_MS },
        ...this.parts.jobs,
        { run: () => this.loadChecks(), everyMs: SLOW_EVERY_MS, failed: this.failed('proof') },
        { run: () => this.loadLedger(), everyMs: SLOW_EVERY_MS, failed: this.failed('ledger') },
        { run: () => this.loadNotices() },
        { run: () => this.loadAlerts(), everyMs: ALERTS_EVERY_MS },
        { run: () => this.explorer.refresh(), everyMs: 4_000 },
      ],
      (polled) => {
        this.header.setPolled(polled);
        this.draw();
      },
    );
    document.addEventListener('visibilitychange', () => document.hidden || this.draw());
    // The current minute moves on even when nothing arrives.
    setInterval(() => document.hidden || this.draw(), 5_000);
    this.draw();
    this.poller.now();
  }

  // What the page asks for

  async loadCatalog() {
    const { body, headers } = await getJson('/metricas');
    configure({ zone: headers.get('Vitral-Time-Zone'), currency: headers.get('Vitral-Currency') });
    this.catalog = body;
    this.explorer.setCatalog(body);
    showLinks(byId('origin-links'), body);
    showFailures(byId('failures'), body);
    this.follow(this.leadingName());
  }

  has(name) {
    return Boolean(this.catalog?.some((metric) => metric.nome === name));
  }

  /** The leading metric, or the first of a catalog that does not have it. */
  leadingName() {
    return this.has(this.leading) ? this.leading : (this.catalog?.[0]?.nome ?? null);
  }

  async loadMetric(name, parameters) {
    const { body } = await getJson(metricPath(name), parameters);
    this.learnCompleteness(body.completude, name);
    return body.linhas ?? [];
  }

  /** For a page that asks nothing of the leading metric by itself. */
  async loadLeading() {
    const name = this.leadingName();
    if (name) await this.loadMetric(name, { limite: 1 });
  }

  /** Opens the page's own stream. */
  follow(name) {
    if (this.stream?.name === name) return;
    this.stream?.events.close();
    this.stream = null;
    if (!name) return;
    const events = new Stream(
      `${metricPath(name)}/ao_vivo`,
      (message) => {
        if (name === this.leading) this.parts.leadingRows(message.linhas);
        this.learnCompleteness(message.completude, name);
        this.draw();
      },
      (state) => this.header.setStreamOpen(state === 'open'),
    );
    this.stream = { name, events };
  }

  async loadChecks() {
    this.checkRows = (await getJson('/reconciliacao', { limite: CHECK_ROWS })).body;
  }

  async loadLedger() {
    const de = new Date(serverNow() - LEDGER_SPAN_MS).toISOString();
    const rows = [];
    for (const verdicts of LEDGER_ORDER) {
      if (rows.length >= LEDGER_ROWS) break;
      const answers = await Promise.all(verdicts.map((veredito) => getJson('/livro', { de, veredito, limite: LEDGER_ROWS })));
      rows.push(...answers.flatMap(({ body }) => body).sort((a, b) => parseTime(b.chegada) - parseTime(a.chegada)));
    }
    this.ledgerRows = rows.slice(0, LEDGER_ROWS);
  }

  async loadAlerts() {
    this.alertRows = (await getJson('/alertas', { limite: ALERT_ROWS })).body;
  }

  async loadNotices() {
    this.noticeRows = (await getJson('/avisos')).body;
  }

  /** Makes one of the domain's jobs due at once. */
  hurry(job) {
    this.poller.hurry(job);
  }

  /** For a job's `failed`: its error is at the foot of the panel. */
  failed(panel, subject = '') {
    return (error) => setPanelError(byId(panel), error ? `${subject}${error.message}` : '');
  }

  /** Every answer carries its topic's counts; those of the leading metric stand for the page. */
  learnCompleteness(completeness, name) {
    if (!completeness || name !== this.leadingName()) return;
    this.completeness = completeness;
    const watermark = parseTime(completeness.marca_dagua);
    this.watermark = Number.isNaN(watermark) ? null : watermark;
    this.header.setWatermark(this.watermark);
  }

  // What the page shows

  show() {
    const { completeness, watermark } = this;
    this.currency.offer(this.parts.currencies());
    const context = { currency: this.currency.shown(), watermark, now: serverNow() };
    this.parts.show(context);
    if (completeness) this.origin.update({ ...context, completeness });
    else if (this.catalog && !this.catalog.length) setOverlay(byId('origin-body'), 'O catálogo ainda não tem métricas');
    if (this.checkRows) this.reconciliation.update({ ...context, rows: this.checkRows.filter((row) => this.has(row.metrica)) });
    if (this.ledgerRows) this.ledger.update({ ...context, rows: this.ledgerRows });
    if (this.alertRows) this.alerts.update({ ...context, rows: this.alertRows, most: ALERT_ROWS });
    if (this.noticeRows) this.notices.update({ ...context, rows: this.noticeRows });
    this.explorer.update(context);
    const untouched = completeness && Number(completeness.lidas ?? 0) === 0 && !this.parts.hasEvents();
    byId('welcome').hidden = !untouched;
  }

  /** Whether a panel has something to show; if its metric is not in the catalog, the panel says so. */
  ready(name, store, host) {
    if (this.catalog && !this.has(name)) setOverlay(host, 'Métrica fora do catálogo', `${name} não está em GET /metricas.`);
    else if (store.loaded) return true;
    return false;
  }
}
