// SPDX-License-Identifier: Apache-2.0
// Looks for filters of other software that drop what is ours, at first and whenever they change,
// says which and what helps, and keeps accepts of ours in them when it is told to. A change outside
// of our tables costs one look at a name; only one that may matter leads to a reading of the base
// chains, and readings take a small share of the time however fast the changes come. One thread,
// the nft loop's, in its network namespace. Must not know policies.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/loop/event_loop.h"
#include "base/metrics.h"
#include "base/result.h"
#include "dataplane/foreign/filters.h"
#include "dataplane/nft/kernel.h"

namespace margay::foreign {

class Watch {
 public:
  using ChangedFn = std::function<void()>;  // drops() are others now

  // `own`: names of inet tables that are ours.
  [[nodiscard]] static Result<std::unique_ptr<Watch>> open(EventLoop& loop,
                                                           metrics::Registry& metrics,
                                                           std::vector<std::string> own,
                                                           ChangedFn changed);
  ~Watch();

  // `accepting` nullopt: not known yet, nothing is touched; false: accepts of ours are taken out.
  void set_subject(const Subject& subject, std::optional<bool> accepting);
  // Of each change outside of our tables; null: changes were missed.
  void noticed(const nft::Notice* n);
  void look_again();  // whether something was noticed or not

  // Every base chain that drops by default, as last seen.
  [[nodiscard]] const std::vector<Drop>& drops() const;

 private:
  class Impl;
  explicit Watch(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace margay::foreign
