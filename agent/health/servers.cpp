// SPDX-License-Identifier: Apache-2.0
#include "agent/health/servers.h"

#include "base/log.h"

namespace margay::health {
namespace {

using namespace std::chrono_literals;

constexpr auto kPatience = 100ms;

http::Response answer(const Verdict& v) {
  return {v.good ? 200U : 503U, "text/plain; charset=utf-8", v.body};
}

}  // namespace

Servers::Servers(Health& health, const metrics::Registry& registry)
    : health_(health), registry_(registry) {
  loop_.run_in_thread();
}

Servers::~Servers() { loop_.join(); }

void Servers::configure(std::optional<Address> probes, std::optional<Address> metrics) {
  loop_.post([this, probes = std::move(probes), metrics = std::move(metrics)] {
    serve(
        probes_, probes, "probes",
        [this](const http::Request& request, const http::Respond& respond) {
          if (request.path == "/liveness") return respond(answer(health_.liveness(look())));
          if (request.path == "/readiness") return respond(answer(health_.readiness(look())));
          respond({404, "text/plain; charset=utf-8", "/liveness and /readiness are served here\n"});
        });
    serve(metrics_, metrics, "metrics",
          [this](const http::Request& request, const http::Respond& respond) {
            if (request.path == "/metrics") return answer_metrics(respond);
            respond({404, "text/plain; charset=utf-8", "/metrics is served here\n"});
          });
  });
}

// What is told is as of now, unless somebody is busy: then nobody waits for him.
Clock::time_point Servers::look() {
  health_.look(loop_.now(), kPatience);
  return loop_.now();
}

void Servers::answer_metrics(const http::Respond& respond) {
  (void)look();
  const auto answer = [this, respond](const std::string& more) {
    respond({200, "text/plain; version=0.0.4; charset=utf-8", registry_.text() + more});
  };
  if (!page_) return answer("");
  page_([this, answer](std::string more) {
    loop_.post([answer, more = std::move(more)] { answer(more); });
  });
}

void Servers::serve(Endpoint& endpoint, std::optional<Address> want, const char* what,
                    http::Handler handler) {
  if (endpoint.want == want) return;
  endpoint.want = std::move(want);
  endpoint.server.reset();
  endpoint.retry.reset();
  if (endpoint.want) listen(endpoint, what, handler);
}

void Servers::listen(Endpoint& endpoint, const char* what, const http::Handler& handler) {
  auto server = http::listen_tcp(loop_, endpoint.want->host, endpoint.want->port, handler);
  if (server.ok()) {
    endpoint.server = std::move(server).value();
    return;
  }
  log::warn("http_listen_failed", kv("what", what), kv("error", server.error()));
  endpoint.retry =
      loop_.after(5s, [this, &endpoint, what, handler] { listen(endpoint, what, handler); });
}

}  // namespace margay::health
