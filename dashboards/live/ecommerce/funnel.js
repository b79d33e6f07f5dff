// The conversion funnel of the newest hour, with the hour before it.

import { byId, el, setOverlay, setState, setText } from '../shared/dom.js';
import { integer, period, share } from '../shared/format.js';
import { STATE_TEXT, isPast, newestStart, windowState } from '../shared/windows.js';

const STEP_TEXT = {
  visualizacao: 'Viram um produto',
  adicao_carrinho: 'Puseram no carrinho',
  inicio_checkout: 'Iniciaram o checkout',
  compra: 'Compraram',
};

export class Funnel {
  constructor(list) {
    this.list = list;
    this.steps = [];
  }

  update({ rows, watermark, now }) {
    const start = newestStart(rows, now);
    const current = stepsOf(rows, start);
    // Only the hour right before it is the hour before.
    const previous = start === null ? [] : stepsOf(rows, rows.find((row) => row.end === start)?.start ?? null);
    setOverlay(this.list, current.length ? '' : 'Nenhuma visita nesta hora', 'O funil usa visualizacao, clique, adicao_carrinho, inicio_checkout e compra.');
    this.fit(current.length);
    const first = current[0]?.users ?? 0;
    current.forEach((step, index) => {
      const node = this.steps[index];
      const before = current[index - 1];
      setText(node.label, STEP_TEXT[step.name] ?? step.name);
      setText(node.users, integer(step.users));
      setText(node.step, before ? `${share(step.users, before.users)} da etapa anterior` : 'usuários distintos');
      setText(node.before, beforeText(previous, index));
      node.fill.style.setProperty('--share', first > 0 ? Math.min(1, step.users / first).toFixed(4) : '0');
    });
    this.showWindow(rows.find((row) => row.start === start), watermark, now);
    this.showWhole(current, previous);
  }

  fit(length) {
    while (this.steps.length > length) this.steps.pop().root.remove();
    while (this.steps.length < length) {
      const node = {
        label: el('span', { class: 'step-label' }),
        users: el('b', { class: 'step-users' }),
        step: el('span', { class: 'step-rate' }),
        before: el('span', { class: 'step-before' }),
        fill: el('span', { class: 'bar-fill' }),
      };
      node.root = el('li', { class: 'step' }, node.label, node.users, el('span', { class: 'bar-track' }, node.fill), node.step, node.before);
      this.steps.push(node);
      this.list.append(node.root);
    }
  }

  showWindow(window, watermark, now) {
    const tag = byId('funnel-state');
    tag.hidden = !window;
    if (!window) return;
    const state = windowState(window, watermark);
    setState(tag, state);
    setText(tag, STATE_TEXT[state]);
    const past = isPast(window, now) ? 'última hora com eventos: ' : '';
    setText(byId('funnel-period'), `usuários distintos, ${past}${period(window.start, window.end, now)}`);
  }

  showWhole(current, previous) {
    if (current.length < 2) {
      setText(byId('funnel-note'), '');
      return;
    }
    const whole = (steps) => share(steps.at(-1).users, steps[0].users);
    const before = previous.length > 1 ? ` (hora anterior: ${whole(previous)})` : '';
    setText(byId('funnel-note'), `De cada visita à compra: ${whole(current)}${before}. Cada etapa conta usuários distintos da hora, em qualquer ordem.`);
  }
}

function stepsOf(rows, start) {
  if (start === null) return [];
  return rows
    .filter((row) => row.start === start)
    .map((row) => ({ order: Number(row.row.ordem), name: row.row.etapa, users: Number(row.row.usuarios ?? 0) }))
    .sort((a, b) => a.order - b.order);
}

function beforeText(previous, index) {
  if (!previous[index]) return '';
  if (index === 0) return `hora anterior: ${integer(previous[0].users)}`;
  return `hora anterior: ${share(previous[index].users, previous[index - 1].users)}`;
}
