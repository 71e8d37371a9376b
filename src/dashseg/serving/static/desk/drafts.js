// Labels that are not saved yet, kept in this browser (IndexedDB): leaving a frame, closing the
// page or losing the network loses nothing. A draft is {ids, version}: version is what it began at.

const STORE = "drafts";

export class Drafts {
  /** data: the name of the data set, so that two data sets on one address do not mix. */
  constructor(data) {
    this.data = data;
    this.names = new Set(); // of the frames that have a draft
    this.opening = new Promise((resolve, reject) => {
      const opening = indexedDB.open("dashseg-desk", 1);
      opening.onupgradeneeded = () => opening.result.createObjectStore(STORE);
      opening.onsuccess = () => resolve(opening.result);
      opening.onerror = () => reject(opening.error);
    });
    this.opening.catch(() => {}); // whoever uses it is told
  }

  async load() {
    const keys = await this.ask("readonly", (store) => store.getAllKeys());
    this.names = new Set(keys.filter(([data]) => data === this.data).map(([, name]) => name));
  }

  get(name) {
    return this.ask("readonly", (store) => store.get([this.data, name]));
  }

  put(name, draft) {
    this.names.add(name);
    return this.ask("readwrite", (store) => store.put(draft, [this.data, name]));
  }

  drop(name) {
    if (!this.names.delete(name)) return null;
    return this.ask("readwrite", (store) => store.delete([this.data, name]));
  }

  async ask(mode, act) {
    const asked = act((await this.opening).transaction(STORE, mode).objectStore(STORE));
    return new Promise((resolve, reject) => {
      asked.onsuccess = () => resolve(asked.result);
      asked.onerror = () => reject(asked.error);
    });
  }
}
