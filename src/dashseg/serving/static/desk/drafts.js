// Labels that are not saved yet, kept in this browser (IndexedDB): leaving a frame, closing the
// page or losing the network loses nothing. A draft is {ids, version}: version is what it began at.

const STORE = "drafts";

export class Drafts {
  /** desk: the id of the folder of edits, so that two desks on one address do not mix. */
  constructor(desk) {
    this.desk = desk;
    this.names = new Set(); // of the frames that have a draft
    this.database = null;
  }

  /** Opens the database; until then, and where the browser has none, nothing is kept. */
  async load() {
    this.database = await new Promise((resolve, reject) => {
      const opening = indexedDB.open("dashseg-desk", 1);
      opening.onupgradeneeded = () => opening.result.createObjectStore(STORE);
      opening.onsuccess = () => resolve(opening.result);
      opening.onerror = () => reject(opening.error);
    });
    const keys = await this.ask("readonly", (store) => store.getAllKeys());
    this.names = new Set(keys.filter(([desk]) => desk === this.desk).map(([, name]) => name));
  }

  get(name) {
    return this.ask("readonly", (store) => store.get([this.desk, name]));
  }

  put(name, draft) {
    this.names.add(name);
    return this.ask("readwrite", (store) => store.put(draft, [this.desk, name]));
  }

  drop(name) {
    if (!this.names.delete(name)) return null;
    return this.ask("readwrite", (store) => store.delete([this.desk, name]));
  }

  /** The request and its commit leave at once: a page that closes now has sent them. */
  ask(mode, act) {
    return new Promise((resolve, reject) => {
      const transaction = this.database.transaction(STORE, mode);
      const asked = act(transaction.objectStore(STORE));
      transaction.oncomplete = () => resolve(asked.result);
      transaction.onabort = () => reject(transaction.error);
      transaction.commit();
    });
  }
}
