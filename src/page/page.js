// SPDX-License-Identifier: GPL-3.0-or-later
// Sorting, filtering and opening. Without it the page says the same: rows stand in their order, and texts unfold.
"use strict";
(() => {
	const number = (text) => {
		const value = parseFloat(text);
		return Number.isNaN(value) ? null : value;
	};

	// What has no number is last, whichever way it is sorted.
	const compare = (a, b, numeric, sign) => {
		if (!numeric)
			return sign * a.localeCompare(b, undefined, {numeric: true});
		const x = number(a), y = number(b);
		if (x === null || y === null)
			return (x === null) - (y === null);
		return sign * (x - y);
	};

	const rowsOf = (table) => table.id === "trial-table" ? [...table.tBodies] : [...table.tBodies[0].rows];
	const cellOf = (row, column) => (row.rows ? row.rows[0] : row).cells[column].textContent;

	const sort = (table, heads, column) => {
		const head = heads[column];
		const numeric = head.classList.contains("n");
		// The first click shows the most of a number, and names from A on.
		const first = numeric ? "descending" : "ascending";
		const other = numeric ? "ascending" : "descending";
		const way = head.getAttribute("aria-sort") === first ? other : first;
		heads.forEach((h) => h.removeAttribute("aria-sort"));
		head.setAttribute("aria-sort", way);
		const sign = way === "ascending" ? 1 : -1;
		const rows = rowsOf(table).map((row, place) => ({row, place, key: cellOf(row, column)}));
		rows.sort((a, b) => compare(a.key, b.key, numeric, sign) || a.place - b.place);
		const into = table.id === "trial-table" ? table : table.tBodies[0];
		into.append(...rows.map((r) => r.row));
	};

	const makeSortable = (table) => {
		const heads = [...table.tHead.rows[0].cells];
		heads.forEach((head, column) => {
			const button = document.createElement("button");
			button.type = "button";
			button.textContent = head.textContent;
			button.addEventListener("click", () => sort(table, heads, column));
			head.replaceChildren(button);
		});
	};

	// Lines of a diff in their colours, once somebody looks at it.
	const colour = (details) => {
		const pre = details.querySelector("pre");
		if (!pre || pre.dataset.done)
			return;
		pre.dataset.done = "1";
		const lines = pre.textContent.split("\n");
		pre.replaceChildren(...lines.map((line, i) => {
			const span = document.createElement("span");
			span.textContent = i + 1 < lines.length ? line + "\n" : line;
			span.className = /^(\+\+\+|---|diff |index )/.test(line) ? "" : line[0] === "+" ? "add" :
				line[0] === "-" ? "del" : line.startsWith("@@") ? "at" : "";
			return span;
		}));
	};

	const open = (body, wanted) => {
		body.classList.toggle("open", wanted);
		body.querySelector("button.open").setAttribute("aria-expanded", String(wanted));
		const diff = body.querySelector("details.diff");
		if (wanted && diff)
			diff.open = true;
	};

	const openNamed = () => {
		const body = document.getElementById(decodeURIComponent(location.hash.slice(1)));
		if (body && body.tagName === "TBODY") {
			body.hidden = false;
			open(body, true);
			body.scrollIntoView();
		}
	};

	const makeOpening = (table) => {
		for (const body of table.tBodies) {
			const cell = body.rows[0].cells[0], button = document.createElement("button");
			button.type = "button";
			button.className = "open";
			button.textContent = cell.textContent;
			button.setAttribute("aria-expanded", "false");
			body.rows[1].id = "more-" + body.id;
			button.setAttribute("aria-controls", body.rows[1].id);
			button.addEventListener("click", () => {
				const wanted = !body.classList.contains("open");
				open(body, wanted);
				if (wanted)
					history.replaceState(null, "", "#" + body.id);
			});
			cell.replaceChildren(button);
		}
		table.addEventListener("toggle", (event) => {
			if (event.target.open && event.target.classList.contains("diff"))
				colour(event.target);
		}, true);
	};

	// A run that some table names leads to its row.
	const link = (cell) => {
		const body = document.getElementById(cell.textContent);
		if (!body || body.tagName !== "TBODY")
			return;
		const a = document.createElement("a");
		a.href = "#" + body.id;
		a.textContent = cell.textContent;
		cell.replaceChildren(a);
	};

	const makeFilter = (table) => {
		const form = document.getElementById("filter"), which = document.getElementById("which");
		const words = document.getElementById("words"), count = document.getElementById("count");
		const all = [...table.tBodies].map((body) => ({
			body, text: (body.id + " " + body.rows[0].textContent + " " +
				[...body.rows[1].querySelectorAll("dd")].map((d) => d.textContent).join(" ")).toLowerCase(),
		}));
		const filter = () => {
			const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
			let shown = 0;
			for (const {body, text} of all) {
				body.hidden = !((!which.value || body.classList.contains(which.value)) &&
					wanted.every((word) => text.includes(word)));
				shown += !body.hidden;
			}
			count.textContent = shown === all.length ? `${shown} trials` : `${shown} of ${all.length} trials`;
		};
		form.hidden = false;
		form.addEventListener("submit", (event) => event.preventDefault());
		form.addEventListener("input", filter);
		filter();
	};

	document.documentElement.classList.add("js");
	const table = document.getElementById("trial-table");
	for (const t of document.querySelectorAll("table"))
		if (t.tHead && t.tBodies.length)
			makeSortable(t);
	if (table) {
		makeOpening(table);
		makeFilter(table);
		document.querySelectorAll("main td").forEach(link);
		openNamed();
		window.addEventListener("hashchange", openNamed);
	}
})();
