/** What is kept in the browser; where that is forbidden or full, in the page's memory. */

export const forTab = keep(() => sessionStorage);
export const forSite = keep(() => localStorage);

/** @param {() => Storage} storage Merely naming it fails where site data is blocked. */
function keep(storage) {
  /** @type {Map<string, string>} */
  const memory = new Map();
  return {
    /**
     * @param {string} name
     * @returns {string | null}
     */
    get(name) {
      return memory.get(name) ?? attempt(() => storage().getItem(name));
    },
    /**
     * @param {string} name
     * @param {string} value
     */
    set(name, value) {
      memory.set(name, value);
      attempt(() => storage().setItem(name, value));
    },
    /** @param {string} name */
    remove(name) {
      memory.delete(name);
      attempt(() => storage().removeItem(name));
    },
  };
}

function attempt(action) {
  try {
    return action();
  } catch {
    return null;
  }
}
