// SPDX-License-Identifier: Apache-2.0
// The configuration file and every parameter's value: an error or a configuration in which all
// values are canonical, that is, read as they are once more.
#include <cstdint>
#include <string_view>

#include "agent/config/config.h"

using namespace margay;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const config::Parameter& p : config::parameters()) {
    if (p.effect == config::Effect::refused) continue;
    const auto once = config::canonical(p, text);
    if (!once.ok()) continue;
    const auto again = config::canonical(p, *once);
    MARGAY_ASSERT(again.ok() && *again == *once);
  }
  auto texts = config::parse_file("fuzz", text);
  if (!texts.ok()) return 0;
  config::Layers layers;
  layers.set(config::Source::file, std::move(texts).value());
  const config::Config resolved = layers.resolve();
  for (const config::Parameter& p : config::parameters()) {
    if (p.effect != config::Effect::refused) static_cast<void>(resolved.text(p.name));
  }
  return 0;
}
