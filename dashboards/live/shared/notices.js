// Messages that came but do not count, as the demo tells of them: what came, why it does not count, what to do.

import { parseTime } from './api.js';
import { el } from './dom.js';
import { integer, moment } from './format.js';

const REASONS = {
  json: 'a mensagem não é um objeto JSON',
  campo_ausente: 'falta um campo obrigatório',
  tipo: 'um campo tem outro tipo',
  tempo: 'o horário não é RFC 3339, como 2025-05-14T12:34:56Z',
  futuro: 'o horário está no futuro',
  tamanho: 'a mensagem é grande demais',
  valor: 'um campo tem um valor não permitido',
};

/** More than these are folded away: on a phone they would hide the numbers. */
const OPEN = 3;
/** Where the browser keeps what its reader has hidden. */
const HIDDEN = 'vitral-avisos-ocultos';

export class Notices {
  /** `reasons` name a domain's own fields. */
  constructor(host, reasons = {}) {
    this.host = host;
    this.reasons = { ...REASONS, ...reasons };
    this.shown = '';
  }

  /** Takes the rows of `GET /avisos`. */
  update({ rows, now }) {
    const state = JSON.stringify(rows);
    if (state === this.shown) return;
    this.shown = state;
    this.host.hidden = !rows.length || hidden() === state;
    const lines = rows.map((row) => el('p', {}, el('strong', {}, title(row, now)), ' ', ...this.text(row, now)));
    const folded = lines.splice(OPEN);
    if (folded.length) {
      const isOpen = Boolean(this.more?.open);
      const others = folded.length === 1 ? 'mais um motivo' : `mais ${integer(folded.length)} motivos`;
      this.more = el('details', { open: isOpen }, el('summary', {}, others), ...folded);
      lines.push(this.more);
    }
    const hide = el('button', { type: 'button', title: 'Até que outra mensagem não conte' }, 'Ocultar');
    hide.addEventListener('click', () => {
      keepHidden(state);
      this.host.hidden = true;
    });
    this.host.replaceChildren(...lines, hide);
  }

  /** Pieces of a line: texts and commands. */
  text({ veredito, motivo, instante, particao, deslocamento }, now) {
    const place = `(partição ${particao}, deslocamento ${deslocamento})`;
    if (veredito === 'atrasada') {
      const at = instante ? ` ${moment(parseTime(instante), now, true)}` : '';
      return [
        `O horário${at} ${place} ficou para trás dos eventos mais novos, e as janelas dele já fecharam. Envie horários atuais; para eventos do passado, comece `,
        el('code', {}, 'vitral demo --rate 0'), ' com outro ', el('code', {}, '--data-dir'), ', ou use ', el('code', {}, 'vitral import'), '.',
      ];
    }
    return [
      `Motivo: ${this.reasons[motivo] ?? motivo} ${place}. Corrija o produtor e envie de novo; `,
      el('code', {}, 'vitral ledger list'), ' mostra a causa exata.',
    ];
  }
}

function hidden() {
  try {
    return localStorage.getItem(HIDDEN);
  } catch {
    return null;
  }
}

/** A browser that keeps nothing shows them again when the page is loaded. */
function keepHidden(state) {
  try {
    localStorage.setItem(HIDDEN, state);
  } catch {
    // Hidden until then.
  }
}

function title({ mensagens, topico, veredito, chegada }, now) {
  const verdict = veredito === 'atrasada' ? 'atrasada' : 'recusada';
  const last = chegada ? moment(parseTime(chegada), now) : null;
  if (mensagens === 1) return `1 mensagem em ${topico} não contou: ${verdict}${last ? ` (${last})` : ''}.`;
  return `${integer(mensagens)} mensagens em ${topico} não contaram: ${verdict}s${last ? ` (a última, ${last})` : ''}.`;
}
