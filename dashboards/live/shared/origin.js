// 'De onde vêm os números': what was read, what became of it, and how far the count has come.

import { el, setOverlay, setText } from './dom.js';
import { duration, integer, moment, share } from './format.js';

const VERDICTS = [
  { name: 'contadas', text: 'Contadas', help: 'entraram nas métricas' },
  { name: 'duplicadas', text: 'Duplicadas', help: 'id_evento já contado' },
  { name: 'atrasadas', text: 'Atrasadas', help: 'chegaram depois da tolerância' },
  { name: 'recusadas', text: 'Recusadas', help: 'inválidas, copiadas para o tópico .dlq' },
  { name: 'outras', text: 'Sem conteúdo', help: 'registros de controle ou vazios' },
];
/** The reading rate is measured over at least this long, or it would jump with every batch. */
const RATE_SPAN_MS = 8_000;

export class Origin {
  /** `topic` is what the page's messages come from, where it is one. */
  constructor(host, topic = null) {
    this.host = host;
    this.hint = topic ? `Envie eventos ao tópico ${topic}.` : 'Envie eventos aos tópicos do catálogo.';
    this.samples = [];
    this.read = el('b', { class: 'origin-read' }, '—');
    this.rate = el('span', { class: 'origin-rate' });
    this.strip = el('div', { class: 'strip', 'aria-hidden': 'true' });
    this.rows = new Map();
    const table = el('table', { class: 'verdicts' }, el('caption', { class: 'hidden' }, 'Destino de cada mensagem lida'));
    for (const verdict of VERDICTS) {
      const help = topic && verdict.name === 'recusadas' ? `inválidas, copiadas para ${topic}.dlq` : verdict.help;
      const piece = el('span', { 'data-verdict': verdict.name });
      const count = el('td', { class: 'number' });
      const part = el('td', { class: 'number soft' });
      const root = el(
        'tr',
        {},
        el('th', { scope: 'row' }, el('i', { class: 'key', 'data-verdict': verdict.name }), verdict.text, el('small', {}, help)),
        count,
        part,
      );
      this.strip.append(piece);
      table.append(root);
      this.rows.set(verdict.name, { piece, count, part, root });
    }
    this.readLabel = el('span');
    this.watermark = el('dd');
    this.idle = el('dd');
    host.append(
      el('p', { class: 'origin-head' }, this.read, this.readLabel, this.rate),
      this.strip,
      table,
      el('dl', { class: 'origin-facts' },
        el('div', {}, el('dt', {}, 'Marca d’água'), this.watermark),
        el('div', { title: 'Uma partição sem eventos há 30 s não segura a marca d’água.' }, el('dt', {}, 'Partições ociosas'), this.idle)),
    );
  }

  update({ completeness, watermark, now }) {
    const read = Number(completeness?.lidas ?? 0);
    setOverlay(this.host, read ? '' : 'Nenhuma mensagem lida', this.hint);
    if (!completeness) return;
    const counts = Object.fromEntries(VERDICTS.map(({ name }) => [name, Number(completeness[name] ?? 0)]));
    counts.outras = Math.max(0, read - counts.contadas - counts.duplicadas - counts.atrasadas - counts.recusadas);
    setText(this.read, integer(read));
    setText(this.readLabel, read === 1 ? ' mensagem lida' : ' mensagens lidas');
    setText(this.rate, this.rateText(read, now));
    for (const [name, row] of this.rows) {
      row.root.hidden = name === 'outras' && counts.outras === 0;
      setText(row.count, integer(counts[name]));
      setText(row.part, share(counts[name], read));
      row.piece.style.flexGrow = String(counts[name]);
      row.piece.hidden = counts[name] === 0;
    }
    setText(this.watermark, watermark === null ? 'ainda não começou' : `${moment(watermark, now, true)} (${duration(now - watermark)} atrás)`);
    setText(this.idle, idleText(completeness.particoes_ociosas));
  }

  rateText(read, now) {
    const last = this.samples.at(-1);
    if (last && read < last.read) this.samples = [];
    this.samples.push({ read, now });
    while (this.samples.length > 2 && now - this.samples[1].now >= RATE_SPAN_MS) this.samples.shift();
    const [oldest] = this.samples;
    if (now - oldest.now < RATE_SPAN_MS / 2) return '';
    const perSecond = ((read - oldest.read) * 1000) / (now - oldest.now);
    return perSecond >= 0.95 ? ` · ${integer(perSecond)} por segundo` : perSecond > 0 ? ' · menos de 1 por segundo' : ' · nada novo agora';
  }
}

function idleText(idle) {
  if (Array.isArray(idle)) return idle.length ? `${idle.length} (${idle.join(', ')})` : 'nenhuma';
  const count = Number(idle ?? 0);
  return count ? integer(count) : 'nenhuma';
}
