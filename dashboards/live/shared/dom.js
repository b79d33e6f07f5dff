// Small helpers over the DOM. Text only ever enters through textContent, never as markup.

export const byId = (id) => document.getElementById(id);

/** Makes an element: `el('a', { class: 'json', href: url }, 'JSON')`. */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    node.setAttribute(name, value === true ? '' : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** Writes text only when it differs, so that selections and screen readers are left in peace. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function setState(node, state) {
  if (node.dataset.state !== state) node.dataset.state = state;
}

/** A message over a panel's content (nothing yet, an error); an empty one takes it away. */
export function setOverlay(host, text, hint = '') {
  let overlay = host.querySelector(':scope > .overlay');
  if (!text) {
    overlay?.remove();
    return;
  }
  if (!overlay) {
    const tag = host.tagName === 'OL' || host.tagName === 'UL' ? 'li' : 'div';
    overlay = el(tag, { class: 'overlay' }, el('p', { class: 'overlay-text' }), el('p', { class: 'overlay-hint' }));
    host.append(overlay);
  }
  setText(overlay.firstChild, text);
  setText(overlay.lastChild, hint);
}

/** One line at the foot of a panel whose own request failed while the others work. */
export function setPanelError(panel, text) {
  let line = panel.querySelector(':scope > .panel-error');
  if (!text) {
    line?.remove();
    return;
  }
  if (!line) {
    line = el('p', { class: 'panel-error', role: 'status' });
    panel.append(line);
  }
  setText(line, text);
}

/** Runs `draw` at most once a frame, however often the returned function is called. */
export function oncePerFrame(draw) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      draw();
    });
  };
}
