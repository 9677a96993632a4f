// SPDX-License-Identifier: Apache-2.0
// Field tables that several kinds share: metadata, label selectors, policy rules. Internal to
// model/codec.
#pragma once

#include "model/codec/fields.h"
#include "model/kubernetes.h"
#include "model/resources.h"

namespace margay::model::codec {

constexpr auto fields(Tag<Metadata>) {
  using M = Metadata;
  return std::tuple{
      field("name", &M::name, Required{}),
      field("namespace", &M::ns),
      field("uid", &M::uid),
      field("creationTimestamp", &M::creation_timestamp),
      field("labels", &M::labels),
      field("annotations", &M::annotations),
      field("deletionTimestamp", &M::deletion_timestamp),
      known("resourceVersion", JsonType::string),
      known("generation", JsonType::number),
      known("generateName", JsonType::string),
      known("deletionGracePeriodSeconds", JsonType::number),
      known("finalizers", JsonType::strings),
      known("managedFields", JsonType::array),
      known("ownerReferences", JsonType::array),
      known("selfLink", JsonType::string),
  };
}

// Every resource: its own table is metadata plus these.
inline constexpr Known kKindName = known("kind", JsonType::string);
inline constexpr Known kApiVersion = known("apiVersion", JsonType::string);
inline constexpr Known kStatus = known("status", JsonType::object);

template <typename T>
concept MetadataAndSpec = requires(T v) {
  v.metadata;
  v.spec;
};
template <typename T>
concept WithStatus = requires(T v) {
  v.status;
};

template <MetadataAndSpec T>
constexpr auto fields(Tag<T>) {
  if constexpr (WithStatus<T>) {
    return std::tuple{kKindName, kApiVersion, field("metadata", &T::metadata, Required{}),
                      field("spec", &T::spec), field("status", &T::status)};
  } else {
    return std::tuple{kKindName, kApiVersion, field("metadata", &T::metadata, Required{}),
                      field("spec", &T::spec), kStatus};
  }
}

constexpr auto fields(Tag<LabelRequirement>) {
  using T = LabelRequirement;
  return std::tuple{
      field("key", &T::key, Required{}),
      field("operator", &T::op, Required{}, one_of("In", "NotIn", "Exists", "DoesNotExist")),
      field("values", &T::values),
  };
}
constexpr auto fields(Tag<LabelSelector>) {
  using T = LabelSelector;
  return std::tuple{
      field("matchLabels", &T::match_labels),
      field("matchExpressions", &T::match_expressions),
  };
}

constexpr auto enum_names(Tag<PolicyType>) {
  return std::array{
      EnumName<PolicyType>{"Ingress", PolicyType::ingress},
      EnumName<PolicyType>{"Egress", PolicyType::egress},
  };
}

constexpr auto enum_names(Tag<Action>) {
  return std::array{
      EnumName<Action>{"Allow", Action::allow},
      EnumName<Action>{"", Action::allow},  // stored by old versions
      EnumName<Action>{"Deny", Action::deny},
      EnumName<Action>{"Log", Action::log},
      EnumName<Action>{"Pass", Action::pass},
      EnumName<Action>{"next-tier", Action::pass},
  };
}
constexpr auto fields(Tag<Icmp>) {
  return std::tuple{field("type", &Icmp::type, Range{0, 254}), field("code", &Icmp::code)};
}
constexpr auto fields(Tag<ServiceAccountMatch>) {
  using T = ServiceAccountMatch;
  return std::tuple{field("names", &T::names, Name{}),
                    field("selector", &T::selector, SelectorText{})};
}
constexpr auto fields(Tag<ServiceMatch>) {
  using T = ServiceMatch;
  return std::tuple{field("name", &T::name, Required{}, Name{}),
                    field("namespace", &T::ns, Name{})};
}
constexpr auto fields(Tag<EntityRule>) {
  using T = EntityRule;
  return std::tuple{
      field("nets", &T::nets, MaxItems{256}),
      field("notNets", &T::not_nets, MaxItems{256}),
      field("selector", &T::selector, SelectorText{}),
      field("notSelector", &T::not_selector, SelectorText{}),
      field("namespaceSelector", &T::namespace_selector, SelectorText{.may_be_global = true}),
      field("ports", &T::ports, MaxItems{50}),
      field("notPorts", &T::not_ports, MaxItems{50}),
      field("serviceAccounts", &T::service_accounts),
      field("services", &T::services),
  };
}
constexpr auto fields(Tag<HttpPath>) {
  return std::tuple{field("exact", &HttpPath::exact), field("prefix", &HttpPath::prefix)};
}
constexpr auto fields(Tag<HttpMatch>) {
  using T = HttpMatch;
  return std::tuple{field("methods", &T::methods, MaxItems{20}),
                    field("paths", &T::paths, MaxItems{20})};
}
constexpr auto fields(Tag<RuleMetadata>) {
  return std::tuple{field("annotations", &RuleMetadata::annotations)};
}
constexpr auto fields(Tag<Rule>) {
  return std::tuple{
      field("action", &Rule::action, Required{}, Always{}),
      field("ipVersion", &Rule::ip_version),
      field("protocol", &Rule::protocol),
      field("notProtocol", &Rule::not_protocol),
      field("icmp", &Rule::icmp),
      field("notICMP", &Rule::not_icmp),
      field("source", &Rule::source),
      field("destination", &Rule::destination),
      field("http", &Rule::http),
      field("metadata", &Rule::metadata),
  };
}

}  // namespace margay::model::codec
