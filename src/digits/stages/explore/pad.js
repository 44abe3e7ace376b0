// A pad to draw on with a mouse, a pen or a finger. Every stroke sends the whole drawing as a PNG.

const WIDTH = 20; // of the pen

export default function ({ data, parentElement, setTriggerValue }) {
  const canvas = parentElement.querySelector("canvas");
  const ink = canvas.getContext("2d");
  const clear = () => {
    ink.fillStyle = "white";
    ink.fillRect(0, 0, canvas.width, canvas.height);
  };
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return [((event.clientX - box.left) * canvas.width) / box.width, ((event.clientY - box.top) * canvas.height) / box.height];
  };
  if (canvas.drawing !== data.drawing) clear(); // another input took its place, or the page is new
  canvas.drawing = data.drawing;
  Object.assign(ink, { lineWidth: WIDTH, lineCap: "round", lineJoin: "round", strokeStyle: "black" });
  canvas.onpointerdown = (event) => {
    canvas.setPointerCapture(event.pointerId);
    ink.beginPath();
    ink.moveTo(...at(event));
    canvas.onpointermove(event);
  };
  canvas.onpointermove = (event) => {
    if (!canvas.hasPointerCapture(event.pointerId)) return;
    ink.lineTo(...at(event));
    ink.stroke();
  };
  canvas.onpointerup = () => setTriggerValue("drawn", canvas.toDataURL("image/png"));
  parentElement.querySelector("button").onclick = () => {
    clear();
    setTriggerValue("drawn", "");
  };
}
