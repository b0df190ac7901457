// Asks the server. What fails for a moment is asked again; what is refused comes back with the server's own sentence.

const FIRST_WAIT = 1_000;
const LONGEST_WAIT = 15_000;

/** The server understood and says no; `message` is its sentence. */
export class Refusal extends Error {}

/**
 * The JSON document at an address, asked for until the server answers.
 *
 * @param {(trouble: boolean) => void} trouble told when the server does not answer, and when it does again
 * @throws {Refusal} the server refused
 * @throws {DOMException} AbortError: `signal` was aborted
 */
export async function getJson(url, { signal, trouble } = {}) {
  for (let wait = FIRST_WAIT; ; wait = Math.min(wait * 2, LONGEST_WAIT)) {
    const response = await answer(url, signal);
    if (response) {
      trouble?.(false);
      return response;
    }
    trouble?.(true);
    await pause(wait, signal);
  }
}

async function answer(url, signal) {
  try {
    const response = await fetch(url, { signal, headers: { Accept: 'application/json' } });
    if (response.ok) return await response.json();
    if (response.status < 500) throw new Refusal(await detail(response));
  } catch (error) {
    if (error instanceof Refusal || error.name === 'AbortError') throw error;
  }
  return null;
}

/** The sentence of a problem document (RFC 9457), or the status where there is none. */
export async function detail(response) {
  const problem = await response.json().catch(() => ({}));
  return problem.detail ?? `${response.status} ${response.statusText}`.trim();
}

function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener('abort', () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}

/** @param {string} query a filter without "?" */
export function withQuery(url, query) {
  return query ? `${url}?${query}` : url;
}
