// One metric opened in the explorer: the newest window as a table, with a chart of the chosen column, live.

import { getJson, metricPath, serverNow } from './api.js';
import { Bars } from './bars.js';
import { cellText, columnsOf, isMoney, rolesOf, windowText } from './columns.js';
import { el, oncePerFrame, setOverlay, setState, setText } from './dom.js';
import { compact, integer, moneyCompact, period } from './format.js';
import { History } from './history_chart.js';
import { Stream } from './stream.js';
import { STATE_TEXT, WindowStore, newestStart, windowState } from './windows.js';

const HISTORY_ROWS = 300;
const TABLE_ROWS = 25;
const BAR_ROWS = 10;
/** Sessions come as far as they have changed: then the newest are asked for again, at most this often. */
const SESSIONS_AGAIN_MS = 2_000;
const LIVE_TEXT = { open: 'ao vivo', connecting: 'conectando' };

export class Detail {
  constructor(host, metric) {
    this.host = host;
    this.name = metric.nome;
    this.metric = metric;
    this.store = new WindowStore();
    this.context = null;
    this.loaded = false;
    /** Whether there are more rows than were loaded. */
    this.truncated = false;
    this.closed = false;
    this.live = 'connecting';
    this.draw = oncePerFrame(() => this.show());
    this.build();
    this.load();
    this.stream = new Stream(
      `${metricPath(this.name)}/ao_vivo`,
      (message) => {
        if (this.isOfSessions()) {
          this.loadSoon();
          return;
        }
        // A table without windows sends the rows that have changed, and keeps the others.
        if (this.hasWindows()) this.store.replaceWindows(message.linhas);
        else this.load();
        this.draw();
      },
      (state) => {
        // What changed while the stream was away is in no message.
        if (state === 'open' && this.loaded && this.live !== 'open') this.load();
        this.live = state;
        this.draw();
      },
    );
  }

  build() {
    this.title = el('h3', {}, this.name);
    this.sub = el('p', { class: 'sub' });
    this.description = el('p', { class: 'note' });
    this.tag = el('span', { class: 'tag', hidden: true });
    this.state = el('span', { class: 'state small', 'data-state': 'connecting' });
    this.select = el('select', { 'aria-label': 'Coluna do gráfico' });
    this.select.addEventListener('change', () => this.draw());
    this.barList = el('ol', { class: 'bars', hidden: true });
    this.bars = new Bars(this.barList, { text: '', hint: '' });
    this.chartHost = el('div', { class: 'chart chart-low', role: 'img', 'aria-label': `Gráfico de ${this.name}`, hidden: true });
    this.history = null;
    this.head = el('tr');
    this.body = el('tbody');
    this.more = el('p', { class: 'note' });
    this.tableHost = el('div', { class: 'table-scroll', tabindex: '0', role: 'region', 'aria-label': `Linhas de ${this.name}` },
      el('table', { class: 'rows' }, el('thead', {}, this.head), this.body));
    this.content = el('div', { class: 'detail-content' }, this.chartHost, this.barList, this.tableHost, this.more);
    this.host.replaceChildren(
      el('div', { class: 'detail-head' },
        el('div', {}, this.title, this.sub),
        el('div', { class: 'detail-tools' }, this.tag, this.state, this.select),
        this.description),
      this.content,
    );
    this.setMetric(this.metric);
  }

  hasWindows() {
    return this.metric.colunas.some(({ nome }) => nome === 'janela_inicio');
  }

  setMetric(metric) {
    this.metric = metric;
    // Names are in backticks, as in the comment that it comes from.
    const pieces = (metric.descricao ?? '').split('`');
    this.description.replaceChildren(...pieces.map((text, index) => (index % 2 ? el('code', {}, text) : text)));
  }

  isOfSessions() {
    return this.metric.janela.startsWith('sessão');
  }

  loadSoon() {
    this.again ??= setTimeout(() => {
      this.again = null;
      if (!this.closed) this.load();
    }, SESSIONS_AGAIN_MS);
  }

  async load() {
    try {
      const { body, headers } = await getJson(metricPath(this.name), { limite: HISTORY_ROWS });
      if (this.closed) return;
      this.store.replaceAll(body.linhas);
      this.truncated = headers.get('Vitral-Truncated') === 'true';
      this.loaded = true;
      this.failure = '';
    } catch (error) {
      this.failure = error.message;
    }
    if (!this.closed) this.draw();
  }

  /** The stream sends the newest window only, and that one may lie in the future when a client's clock is fast. */
  async refreshUnlessLive() {
    const ahead = (this.store.rows.at(-1)?.start ?? 0) > serverNow();
    if (!this.loaded || this.live !== 'open' || ahead) await this.load();
  }

  update(context) {
    this.context = context;
    this.draw();
  }

  show() {
    if (this.closed || !this.context) return;
    const { watermark, now, currency } = this.context;
    const all = this.store.rows.map(({ row }) => row);
    const columns = columnsOf(this.metric.colunas, all.slice(-TABLE_ROWS));
    const roles = rolesOf(columns, all);
    const start = newestStart(this.store.rows, now) ?? this.store.rows.at(-1)?.start ?? null;
    const newest = this.store.rows.filter((row) => row.start === start);
    const isPart = this.truncated && this.store.rows[0]?.start === start;
    // A window comes in the order of its metric, a table without windows by key: there the largest may be in the rest.
    const isUnranked = isPart && !this.hasWindows();

    if (this.isOfSessions()) {
      this.showSessions(columns);
      return;
    }
    setText(this.sub, newest.length && this.hasWindows()
      ? `janela mais nova: ${period(newest[0].start, newest[0].end, now)} · ${windowText(this.metric.janela)}`
      : windowText(this.metric.janela));
    this.tag.hidden = !newest.length || !this.hasWindows();
    if (newest.length) {
      const state = windowState(newest[0], watermark);
      setState(this.tag, state);
      setText(this.tag, STATE_TEXT[state]);
    }
    setState(this.state, this.live === 'open' ? 'live' : 'connecting');
    setText(this.state, LIVE_TEXT[this.live] ?? LIVE_TEXT.connecting);
    this.showMeasures(roles.measures);

    const nothing = this.hasWindows() ? 'Nenhuma janela ainda' : 'Nenhuma linha ainda';
    const empty = this.failure || (newest.length ? '' : this.loaded ? nothing : 'Carregando…');
    setOverlay(this.content, empty, this.failure || !this.loaded ? '' : 'A primeira aparece assim que houver eventos.');
    const measure = roles.measures.find(({ name }) => name === this.select.value) ?? roles.measures[0];
    const wanted = (row) => !roles.byCurrency || row.currency === currency;
    const ranked = measure && roles.keys.length && newest.length && !isUnranked;
    if (ranked) this.showBars(newest.filter(wanted), measure, roles);
    else if (measure && !roles.keys.length) this.showHistory(this.store.rows.filter(wanted), measure, currency);
    this.barList.hidden = !ranked;
    this.select.hidden ||= isUnranked;
    this.chartHost.hidden = !(measure && !roles.keys.length && newest.length);
    // A window of one row says little by itself: then the table has the windows before it too.
    if (roles.keys.length) this.showTable(columns, newest, false, isPart);
    else this.showTable(columns, this.store.rows.filter((row) => row.start <= (start ?? 0)).slice(-TABLE_ROWS).reverse(), true);
  }

  /** Each is a window of its own: the newest as a table, without a chart. */
  showSessions(columns) {
    const rows = this.store.rows.slice(-TABLE_ROWS).reverse();
    setText(this.sub, windowText(this.metric.janela));
    this.tag.hidden = true;
    this.select.hidden = true;
    this.barList.hidden = true;
    this.chartHost.hidden = true;
    setState(this.state, this.live === 'open' ? 'live' : 'connecting');
    setText(this.state, LIVE_TEXT[this.live] ?? LIVE_TEXT.connecting);
    const nothing = this.loaded ? 'Nenhuma sessão ainda' : 'Carregando…';
    const empty = this.failure || (rows.length ? '' : nothing);
    setOverlay(this.content, empty, this.failure || !this.loaded ? '' : 'A primeira aparece assim que houver eventos.');
    this.showTable(columns, rows, true);
  }

  showMeasures(measures) {
    const names = measures.map(({ name }) => name);
    this.select.hidden = names.length < 2;
    if (names.join() === this.measureNames) return;
    this.measureNames = names.join();
    const chosen = this.select.value;
    this.select.replaceChildren(...names.map((name) => el('option', { value: name }, name)));
    this.select.value = names.includes(chosen) ? chosen : (names.at(-1) ?? '');
  }

  showBars(rows, measure, { keys, ordered }) {
    const items = rows.map(({ row }) => ({
      key: JSON.stringify([...keys.map(({ name }) => row[name]), row.moeda]),
      label: keys.map(({ name }) => row[name]).filter((value) => value !== null && value !== undefined).join(' · ') || '—',
      value: Number(row[measure.name] ?? 0),
      text: cellText(measure, row),
    }));
    if (!ordered) items.sort((a, b) => b.value - a.value);
    this.bars.update(items.slice(0, BAR_ROWS));
  }

  showHistory(rows, measure, currency) {
    this.chartHost.hidden = false;
    this.history ??= new History(this.chartHost);
    const last = rows.at(-1)?.row ?? {};
    const axis = isMoney(measure, last) ? (value) => moneyCompact(value, currency) : (value) => (Number.isInteger(value) && value < 1e4 ? integer(value) : compact(value));
    this.history.update({ rows, measure, axis, text: (row) => cellText(measure, row), watermark: this.context.watermark, now: this.context.now });
  }

  /** Where `rows` are a part of the window, nobody has counted the others. */
  showTable(columns, rows, withWindow, isPart = false) {
    const { watermark, now } = this.context;
    const all = [
      ...(withWindow && this.hasWindows() ? [{ name: 'janela', text: (row) => period(row.start, row.end, now) }] : []),
      ...columns.map((column) => ({ name: column.name, text: ({ row }) => cellText(column, row) })),
      ...(withWindow && this.hasWindows() ? [{ name: 'situação', text: (row) => STATE_TEXT[windowState(row, watermark)] }] : []),
    ];
    const names = all.map(({ name }) => name).join();
    if (names !== this.columnNames) {
      this.columnNames = names;
      this.head.replaceChildren(...all.map(({ name }) => el('th', { scope: 'col' }, name)));
      this.body.replaceChildren();
    }
    const shown = rows.slice(0, TABLE_ROWS);
    while (this.body.rows.length > shown.length) this.body.deleteRow(-1);
    while (this.body.rows.length < shown.length) this.body.insertRow();
    all.forEach(({ name, text }, place) => {
      const isNumber = shown.some(({ row }) => typeof row[name] === 'number');
      this.head.cells[place].classList.toggle('number', isNumber);
      shown.forEach((row, index) => {
        const line = this.body.rows[index];
        const cell = line.cells[place] ?? line.insertCell();
        cell.classList.toggle('number', isNumber);
        setText(cell, text(row));
      });
    });
    this.tableHost.hidden = !shown.length;
    const left = rows.length - shown.length;
    if (isPart) setText(this.more, `As primeiras ${integer(shown.length)} linhas${this.hasWindows() ? ' desta janela' : ', por chave'}; há mais no JSON.`);
    else setText(this.more, left > 0 ? `Mais ${integer(left)} linhas${this.hasWindows() ? ' nesta janela' : ''}, no JSON.` : '');
  }

  close() {
    this.closed = true;
    clearTimeout(this.again);
    this.stream.close();
    this.history?.destroy();
  }
}
