// Somebody who is signed in: the way out, and the way in again once a session is over.

import { byId } from './dom.js';

const SIGN_IN = '/entrar';
/** A page that was sent to sign in this short a time ago and still may not ask shows the error instead. */
const AGAIN_MS = 60_000;
const KEPT = 'vitral.sign-in';

/** Where an answer says who has asked, they can sign out. */
export function showSession(headers) {
  if (!headers.get('Vitral-Principal')) return;
  const button = byId('sign-out');
  if (!button.hidden) return;
  button.hidden = false;
  button.addEventListener('click', signOut);
}

async function signOut() {
  await fetch('/sair', { method: 'POST' });
  location.assign(SIGN_IN);
}

export function signIn() {
  try {
    const last = Number(sessionStorage.getItem(KEPT) ?? 0);
    if (Date.now() - last < AGAIN_MS) return;
    sessionStorage.setItem(KEPT, String(Date.now()));
    location.assign(SIGN_IN);
  } catch {
    // Without storage it cannot be known whether it would go round in circles: the error is shown.
  }
}
