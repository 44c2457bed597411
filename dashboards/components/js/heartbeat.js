// Passes each beat of the page's server on to the veil, and tells the server which views this browser has really drawn.
export function render({ model, el }) {
  const pass = () => {
    const given = qm.parse(model.beat);
    if (given) { qm.beat(given.veil); model.send_msg({ shown: qm.shown }); }
  };
  model.on("beat", pass);
  pass();
  return document.createElement("span");
}
