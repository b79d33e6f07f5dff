// The list of all metrics, and one of them opened: any metric of the catalog, without knowing it beforehand.

import { columnsOf, windowText } from './columns.js';
import { el, setText } from './dom.js';
import { Detail } from './detail.js';
import { metricPath } from './api.js';

const HASH = '#metrica=';

export class Explorer {
  /** `opened` is shown first when the address names no metric; else the catalog's first. */
  constructor(list, host, opened = null) {
    this.list = list;
    this.host = host;
    this.opened = opened;
    this.catalog = [];
    this.items = new Map();
    this.detail = null;
    this.context = null;
    addEventListener('hashchange', () => {
      this.follow();
      // On a phone the opened metric lies below the list.
      this.host.scrollIntoView({ block: 'nearest' });
    });
  }

  /** Takes the answer of `GET /metricas`. */
  setCatalog(metrics) {
    this.catalog = metrics;
    const names = metrics.map((metric) => metric.nome).join('\n');
    if (names !== this.names) {
      this.names = names;
      this.items = new Map(metrics.map((metric) => [metric.nome, item(metric)]));
      this.list.replaceChildren(...[...this.items.values()].map(({ root }) => root));
    }
    this.follow();
  }

  /** Opens the metric that the address names, else the preferred one. */
  follow() {
    const asked = location.hash.startsWith(HASH) ? decodeName(location.hash.slice(HASH.length)) : null;
    const metric = this.catalog.find(({ nome }) => nome === asked)
      ?? this.catalog.find(({ nome }) => nome === this.opened)
      ?? this.catalog[0];
    for (const [name, { link }] of this.items) {
      if (name === metric?.nome) link.setAttribute('aria-current', 'true');
      else link.removeAttribute('aria-current');
    }
    if (this.detail && this.detail.name === metric?.nome) {
      this.detail.setMetric(metric);
      return;
    }
    this.detail?.close();
    this.detail = metric ? new Detail(this.host, metric) : null;
    if (!metric) this.host.replaceChildren(el('p', { class: 'note' }, 'O catálogo ainda não tem métricas.'));
    if (this.context) this.detail?.update(this.context);
  }

  update(context) {
    this.context = context;
    this.detail?.update(context);
  }

  /** Those of the opened metric's rows. */
  currencies() {
    return this.detail?.store.currencies() ?? [];
  }

  refresh() {
    return this.detail?.refreshUnlessLive();
  }
}

function item(metric) {
  const columns = columnsOf(metric.colunas, []);
  const link = el(
    'a',
    { class: 'metric-open', href: `${HASH}${encodeURIComponent(metric.nome)}`, title: metric.descricao },
    el('span', { class: 'metric-name' }, metric.nome),
    el('span', { class: 'metric-window' }, windowText(metric.janela)),
    el('span', { class: 'metric-columns' }, columns.map(({ name }) => name).join(', ')),
  );
  const root = el('li', {}, link, el('a', { class: 'json', href: metricUrl(metric), 'aria-label': `JSON de ${metric.nome}` }, 'JSON'));
  return { root, link };
}

/** The metric's own address, if it is one a link may follow. */
export function metricUrl(metric) {
  try {
    const url = new URL(metric.url ?? metricPath(metric.nome), location.origin);
    if (url.protocol === 'http:' || url.protocol === 'https:') return url.href;
  } catch {
    // Falls through to the address every metric has.
  }
  return metricPath(metric.nome);
}

function decodeName(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The links of the completeness panel: every figure can be checked at its source. */
export function showLinks(host, metrics) {
  const text = metrics.map((metric) => metric.nome).join('\n');
  if (host.dataset.shown === text) return;
  host.dataset.shown = text;
  host.replaceChildren('Confira em JSON: ', ...metrics.flatMap((metric, index) => [
    index ? ' · ' : '',
    el('a', { href: metricUrl(metric) }, metric.nome),
  ]));
  if (!metrics.length) setText(host, '');
}
