"use strict";
for (const line of document.querySelectorAll(".line")) {
  const bars = [...line.querySelectorAll(".bar")], said = line.parentElement.querySelector(".said");
  let at = -1;
  const go = (to) => {
    if (at >= 0) bars[at].classList.remove("here");
    at = Math.max(0, Math.min(bars.length - 1, to));
    bars[at].classList.add("here");
    said.textContent = bars[at].querySelector("title").textContent;
  };
  line.addEventListener("keydown", (e) => {
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: bars.length - 1, PageDown: at + 10, PageUp: at - 10 }[e.key];
    if (to === undefined) return;
    e.preventDefault();
    go(to);
  });
  bars.forEach((bar, i) => bar.addEventListener("click", () => go(i)));
}
for (const table of document.querySelectorAll("table.sorts")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  heads.forEach((head, column) => {
    const button = head.querySelector("button");
    if (!button) return;
    button.addEventListener("click", () => {
      const number = head.classList.contains("n"), was = head.getAttribute("aria-sort");
      const up = was ? was === "descending" : !number;
      const value = (row) => number ? Number(row.cells[column].dataset.n) : row.cells[column].textContent;
      const rows = [...body.rows].sort((a, b) => {
        const x = value(a), y = value(b), order = number ? x - y : x.localeCompare(y);
        return up ? order : -order;
      });
      heads.forEach((h) => h.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      body.append(...rows);
    });
  });
}
