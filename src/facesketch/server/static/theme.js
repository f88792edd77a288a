/** Light, dark, or as the system has it until the person chooses. */

import { forSite } from "./storage.js";

const NAME = "facesketch-theme";
const root = document.documentElement;
const systemIsDark = matchMedia("(prefers-color-scheme: dark)");

function isDark() {
  return root.dataset.theme ? root.dataset.theme === "dark" : systemIsDark.matches;
}

const chosen = forSite.get(NAME);
if (chosen === "light" || chosen === "dark") root.dataset.theme = chosen;

document.getElementById("theme").addEventListener("click", () => {
  root.dataset.theme = isDark() ? "light" : "dark";
  // Back at what the system has: follow it again.
  if (isDark() === systemIsDark.matches) {
    delete root.dataset.theme;
    forSite.remove(NAME);
  } else {
    forSite.set(NAME, root.dataset.theme);
  }
});
