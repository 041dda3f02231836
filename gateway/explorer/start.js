/** Starts the worker. The policy is the only one that the page's headers allow: no text can become a script otherwise. */

export function startWorker() {
  const url = new URL("./worker.js", import.meta.url).href;
  const types = /** @type {any} */ (globalThis).trustedTypes;
  // The address is our own; nothing else ever is given to the policy.
  const trusted = types ? types.createPolicy("explorer", { createScriptURL: () => url }).createScriptURL("") : url;
  return new Worker(trusted, { type: "module" });
}
