// The form for a key: what comes back is a cookie that no script can read.

import { byId } from './dom.js';

const WRONG = {
  401: 'Esta chave não vale: está errada, expirou ou foi revogada. This key is wrong, has expired or was revoked.',
  429: 'Tentativas demais; espere um pouco. Too many attempts; wait a while.',
};
const OTHERWISE = 'O servidor não respondeu como devia; tente de novo. The server did not answer as it should; try again.';

const form = byId('sign-in');
const button = byId('sign-in-button');
const error = byId('sign-in-error');

function show(text) {
  error.textContent = text;
  error.hidden = !text;
}

async function signIn() {
  const chave = byId('key').value.trim();
  const response = await fetch('/entrar', {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'application/json' },
    body: JSON.stringify({ chave }),
  });
  if (response.ok) location.replace('/');
  else show(WRONG[response.status] ?? OTHERWISE);
}

form.addEventListener('submit', async (event) => {
  event.preventDefault();
  button.disabled = true;
  show('');
  try {
    await signIn();
  } catch {
    show(OTHERWISE);
  } finally {
    button.disabled = false;
  }
});
