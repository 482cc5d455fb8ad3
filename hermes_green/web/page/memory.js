// Memory: what this browser remembers of its reader's choices, where it may.

export function recall(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return null; // storage is off
  }
}

export function remember(name, value) {
  try {
    if (value === null) localStorage.removeItem(name);
    else localStorage.setItem(name, value);
  } catch { /* storage is off: the choice lasts as long as the page */ }
}
