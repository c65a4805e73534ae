// Shows the contract, with a form to try each request against this very server.
window.SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#contract",
  deepLinking: true,
  tryItOutEnabled: true,
  // Without this the page would ask a validator on the internet.
  validatorUrl: null,
});
