"use strict";
(() => {
	// A heading sorts its table: the first time the largest or the first letter first.
	const sortBy = (table, at, heading) => {
		const ascending = heading.ariaSort ? heading.ariaSort === "descending" : !heading.classList.contains("n");
		for (const th of table.tHead.rows[0].cells) th.removeAttribute("aria-sort");
		heading.ariaSort = ascending ? "ascending" : "descending";
		const value = (row) => {
			const cell = row.cells[at];
			return cell.dataset.v === undefined ? cell.textContent : Number(cell.dataset.v);
		};
		const order = (a, b) => typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
		const rows = [...table.tBodies[0].rows].sort((a, b) => order(value(a), value(b)) * (ascending ? 1 : -1));
		table.tBodies[0].append(...rows);
	};
	for (const table of document.querySelectorAll("table.sorts")) {
		[...table.tHead.rows[0].cells].forEach((heading, at) => {
			if (heading.hasAttribute("data-fixed")) return;
			const button = document.createElement("button");
			button.type = "button";
			button.textContent = heading.textContent;
			button.addEventListener("click", () => sortBy(table, at, heading));
			const printed = document.createElement("span"); // a heading that repeats on a page has no buttons
			printed.className = "printed";
			printed.textContent = heading.textContent;
			heading.replaceChildren(button, printed);
		});
	}

	// The arrow keys go from step to step of a timeline.
	for (const figure of document.querySelectorAll(".timeline")) {
		const bars = [...figure.querySelectorAll(".bars rect")];
		const readout = document.createElement("p");
		readout.className = "readout";
		readout.setAttribute("role", "status");
		readout.textContent = "Click a step, or go from step to step with ← and →.";
		const chart = document.createElement("div");
		chart.tabIndex = 0;
		chart.setAttribute("role", "group");
		chart.setAttribute("aria-label", "Step timeline: the left and right arrow keys go from step to step");
		const svg = figure.querySelector("svg");
		svg.before(chart);
		chart.append(svg);
		chart.after(readout);
		let at = -1;
		const select = (to) => {
			if (at >= 0) bars[at].classList.remove("selected");
			at = Math.max(0, Math.min(bars.length - 1, to));
			bars[at].classList.add("selected");
			readout.textContent = bars[at].querySelector("title").textContent;
		};
		chart.addEventListener("keydown", (event) => {
			const moves = {ArrowRight: at + 1, ArrowLeft: at < 0 ? 0 : at - 1, PageDown: at + 20, PageUp: at - 20, Home: 0, End: bars.length - 1};
			if (event.altKey || event.ctrlKey || event.metaKey || !(event.key in moves)) return;
			event.preventDefault();
			select(moves[event.key]);
		});
		bars.forEach((bar, i) => bar.addEventListener("click", () => { select(i); chart.focus(); }));
	}
})();
