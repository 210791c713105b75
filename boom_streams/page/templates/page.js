
"use strict";
const form = document.querySelector(".controls");
if (form) {
  const main = document.querySelector("main");
  const cards = [...main.querySelectorAll(".card")];
  const orders = new Map(cards.map((card) => [card, JSON.parse(card.dataset.order)]));

  const show = () => {
    const chosen = form.elements.filter.value;
    for (const card of cards) {
      card.hidden = chosen !== "" && !card.dataset.filters.split(" ").includes(chosen);
    }
    const count = cards.filter((card) => !card.hidden).length;
    form.querySelector("output").value = count === 1 ? "1 object" : `${count} objects`;
  };

  const sort = () => {
    const value = form.elements.order.value;
    const comma = value.lastIndexOf(",");
    const name = value.slice(0, comma);
    const sign = Number(value.slice(comma + 1));
    const key = (card) => sign * (orders.get(card)[name] ?? sign * Infinity);
    const sorted = value === "" ? cards : [...cards].sort((a, b) => key(a) - key(b) || 0);
    main.append(...sorted);
  };

  form.elements.filter.addEventListener("change", show);
  form.elements.order.addEventListener("change", sort);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  show();
}
