// 'Reconciliação': what checking the published numbers against the archive has found, metric by metric.

import { parseTime } from './api.js';
import { el, setOverlay, setState, setText } from './dom.js';
import { integer, moment, period } from './format.js';

const EQUAL = 'igual';
const ORIGIN_TEXT = { comando: 'por comando', continua: 'contínua', chaves: 'contínua, por chaves' };
const COLUMNS = [
  { text: 'Métrica' },
  { text: 'Período' },
  { text: 'Janelas', number: true },
  { text: 'Diferenças', number: true },
  { text: 'Veredito' },
  { text: 'Quando' },
];
const BREAKS_HELP = 'Lugares em que os deslocamentos do arquivo não seguem um ao outro.';

export class Reconciliation {
  constructor(host, summary) {
    this.host = host;
    this.summary = summary;
    this.lines = [];
    this.body = el('tbody');
    const head = COLUMNS.map(({ text, number }) => el('th', { scope: 'col', class: number && 'number' }, text));
    this.table = el('div', { class: 'table-scroll', tabindex: '0', role: 'region', 'aria-label': 'Última verificação de cada métrica' },
      el('table', { class: 'rows' }, el('thead', {}, el('tr', {}, ...head)), this.body));
    host.append(this.table);
  }

  /** Takes the rows of `GET /reconciliacao`, newest first. */
  update({ rows, now }) {
    const checks = standing(rows.map(read)).sort((a, b) => a.sound - b.sound || a.metric.localeCompare(b.metric));
    this.table.hidden = !checks.length;
    setOverlay(this.host, checks.length ? '' : 'Nenhuma verificação ainda', 'Cada hora é conferida assim que se torna final.');
    this.showSummary(checks);
    this.fit(checks.length);
    checks.forEach((check, index) => show(this.lines[index], check, now));
  }

  showSummary(checks) {
    const sound = checks.every((check) => check.sound);
    this.summary.hidden = !checks.length;
    setState(this.summary, sound ? 'equal' : 'different');
    setText(this.summary, sound ? 'tudo igual' : 'algo não confere');
  }

  fit(length) {
    while (this.lines.length > length) this.lines.pop().root.remove();
    while (this.lines.length < length) {
      const line = build();
      this.lines.push(line);
      this.body.append(line.root);
    }
  }
}

/** `sound` is a check that has found nothing wrong. */
function read(row) {
  const differences = Number(row.diferencas ?? 0);
  const breaks = Number(row.quebras ?? 0);
  return {
    metric: String(row.metrica),
    at: parseTime(row.instante),
    origin: ORIGIN_TEXT[row.origem] ?? String(row.origem ?? ''),
    from: parseTime(row.de),
    to: parseTime(row.ate),
    windows: Number(row.janelas ?? 0),
    rows: Number(row.linhas ?? 0),
    differences,
    breaks,
    verdict: String(row.veredito),
    repaired: row.reparada === true,
    sound: row.veredito === EQUAL && differences === 0 && breaks === 0,
  };
}

/** The last check of each metric, and every earlier difference whose period no later check has covered again. */
function standing(checks) {
  const later = new Map();
  return checks.filter((check) => {
    const known = later.get(check.metric) ?? [];
    later.set(check.metric, [...known, check]);
    const again = known.some((other) => other.from <= check.from && check.to <= other.to);
    return !known.length || (check.differences > 0 && !again);
  });
}

function build() {
  const line = {
    metric: el('td', { class: 'metric-name' }),
    period: el('td'),
    windows: el('td', { class: 'number' }),
    differences: el('td', { class: 'number' }),
    verdict: el('span', { class: 'tag' }),
    breaks: el('span', { class: 'tag', 'data-state': 'different', title: BREAKS_HELP }),
    repaired: el('span', { class: 'soft' }, 'reparada'),
    at: el('span'),
    origin: el('span', { class: 'soft' }),
  };
  line.root = el('tr', {},
    line.metric, line.period, line.windows, line.differences,
    el('td', {}, line.verdict, ' ', line.breaks, ' ', line.repaired),
    el('td', {}, line.at, ' ', line.origin));
  return line;
}

function show(line, check, now) {
  setText(line.metric, check.metric);
  setText(line.period, period(check.from, check.to, now));
  setText(line.windows, integer(check.windows));
  line.windows.title = `${integer(check.rows)} linhas`;
  setText(line.differences, integer(check.differences));
  setState(line.verdict, check.verdict === EQUAL ? 'equal' : 'different');
  setText(line.verdict, check.differences ? `${check.verdict} · ${integer(check.differences)}` : check.verdict);
  line.breaks.hidden = !check.breaks;
  setText(line.breaks, check.breaks === 1 ? '1 quebra' : `${integer(check.breaks)} quebras`);
  line.repaired.hidden = !check.repaired;
  setText(line.at, moment(check.at, now));
  setText(line.origin, check.origin);
}
