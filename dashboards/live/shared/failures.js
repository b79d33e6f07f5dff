// Metrics that fail on their data: which, since when and why. All others go on.

import { parseTime, serverNow } from './api.js';
import { el } from './dom.js';
import { moment } from './format.js';

/** Takes the answer of `GET /metricas`. */
export function showFailures(host, metrics) {
  const failed = metrics.filter((metric) => metric.falha);
  host.hidden = !failed.length;
  const lines = failed.map(({ nome, falha }) => [nome, `desde ${moment(parseTime(falha.desde), serverNow())}: ${falha.motivo}`]);
  // Written only when it differs: it is read aloud.
  const text = JSON.stringify(lines);
  if (host.dataset.shown === text) return;
  host.dataset.shown = text;
  host.replaceChildren(...lines.map(([name, rest]) => el('p', {}, el('strong', {}, `Faltam janelas de ${name}`), ` ${rest}`)));
}
