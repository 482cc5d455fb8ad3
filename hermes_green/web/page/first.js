// Before anything is drawn: the looks that were chosen in this browser, so that nothing flashes.
"use strict";
(() => {
  try {
    const theme = localStorage.getItem("theme");
    if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
  } catch { /* storage is off: the system's colours it is */ }
})();
