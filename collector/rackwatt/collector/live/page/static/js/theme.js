// SPDX-License-Identifier: Apache-2.0
// Runs before the page is painted: a remembered theme must not flash the other one first.
(() => {
  let theme = null;
  try {
    theme = localStorage.getItem("rackwatt.theme");
  } catch {
    // Storage may be forbidden; then the system's preference stands.
  }
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
})();
