// SPDX-License-Identifier: Apache-2.0
#include "proto/transport.h"

#include <fcntl.h>
#include <grpc/grpc.h>
#include <grpc/support/log.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_certificate_verifier.h>
#include <grpcpp/security/tls_credentials_options.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>

#include "base/fd.h"
#include "base/log.h"
#include "proto/grpc_status.h"

namespace margay::transport {
namespace {

namespace tls_api = grpc::experimental;

constexpr int kWindow = 512 * 1024;  // bytes in flight per stream: two segments

// The chain has been verified against the CA already; what is left is whether it is the peer that
// we were told to talk to.
class NameVerifier : public tls_api::ExternalCertificateVerifier {
 public:
  explicit NameVerifier(TlsFiles expected) : expected_(std::move(expected)) {}
  bool Verify(tls_api::TlsCustomVerificationCheckRequest* request,
              std::function<void(grpc::Status)> /*callback*/, grpc::Status* sync_status) override {
    std::vector<std::string> uris;
    for (const grpc::string_ref& uri : request->uri_names())
      uris.emplace_back(uri.data(), uri.size());
    const grpc::string_ref cn = request->common_name();
    if (const auto ok = expected_.check_peer({cn.data(), cn.size()}, uris); !ok.ok()) {
      *sync_status = grpc::Status(grpc::StatusCode::UNAUTHENTICATED, ok.error().context);
    }
    return true;
  }
  void Cancel(tls_api::TlsCustomVerificationCheckRequest*) override {}

 private:
  const TlsFiles expected_;
};

std::shared_ptr<tls_api::CertificateVerifier> name_verifier(const TlsFiles& tls) {
  return tls_api::ExternalCertificateVerifier::Create<NameVerifier>(tls);
}

// gRPC's end, with the last channel or server, waits for a poller that nobody wakes whenever a
// write did not fit into a socket: 10 s (seen in 1.51). So it does not end before the process does.
void keep_library() { [[maybe_unused]] static const int kKept = (grpc_init(), 0); }

grpc::ChannelArguments channel_arguments() {
  keep_library();
  grpc::ChannelArguments args;
  args.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  args.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);  // it would let the window grow to megabytes
  args.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kWindow);
  args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  args.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  args.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 5000);  // the limit of one attempt, no more
  args.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 5000);
  args.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 20'000);
  args.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  args.SetServiceConfigJSON("{}");
  args.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
  return args;
}

// A file in memory, under a path that always leads to its latest contents.
class MemoryFile {
 public:
  static Result<MemoryFile> make() {
    MARGAY_TRY(Fd fd, filled({}));
    return MemoryFile(std::move(fd));
  }
  [[nodiscard]] std::string path() const { return "/proc/self/fd/" + std::to_string(fd_.get()); }
  // A reader finds the old contents or the new, never a mixture.
  Result<void> replace(const std::string& content) {
    MARGAY_TRY(const Fd next, filled(content));
    if (::dup3(next.get(), fd_.get(), O_CLOEXEC) < 0) return sys_error(errno, "dup3");
    return {};
  }

 private:
  explicit MemoryFile(Fd fd) : fd_(std::move(fd)) {}
  static Result<Fd> filled(const std::string& content) {
    Fd fd(::memfd_create("margay-tls", MFD_CLOEXEC));
    if (fd.get() < 0) return sys_error(errno, "memfd_create");
    for (std::size_t done = 0; done < content.size();) {
      const auto n = ::write(fd.get(), content.data() + done, content.size() - done);
      if (n < 0) return sys_error(errno, "memfd write");
      done += static_cast<std::size_t>(n);
    }
    return fd;
  }
  Fd fd_;
};

}  // namespace

Result<std::shared_ptr<grpc::Channel>> make_channel(const std::string& address,
                                                    const TlsFiles& tls) {
  if (!tls.enabled()) {
    MARGAY_CHECK(check_plain(address));
    return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(),
                                     channel_arguments());
  }
  MARGAY_TRY(const TlsKeeper keeper, TlsKeeper::open(tls));
  return make_channel(address, keeper);
}

Result<std::shared_ptr<grpc::Channel>> make_channel(const std::string& address,
                                                    const TlsKeeper& keeper) {
  const TlsMaterial& m = keeper.in_force();
  tls_api::TlsChannelCredentialsOptions options;
  options.set_certificate_provider(std::make_shared<tls_api::StaticDataCertificateProvider>(
      m.ca, std::vector<tls_api::IdentityKeyCertPair>{{m.key, m.cert}}));
  options.watch_root_certs();
  options.watch_identity_key_cert_pairs();
  options.set_verify_server_certs(true);
  options.set_certificate_verifier(name_verifier(keeper.files()));
  options.set_check_call_host(false);
  return grpc::CreateCustomChannel(address, tls_api::TlsCredentials(options), channel_arguments());
}

// gRPC's provider for servers knows files and nothing else, and would take whatever they hold.
struct ServerTls::Impl {
  TlsKeeper keeper;
  MemoryFile identity;  // key and certificates in one, so that they are replaced together
  MemoryFile ca;

  Result<void> publish() {
    MARGAY_CHECK(ca.replace(keeper.in_force().ca));
    return identity.replace(keeper.in_force().key + "\n" + keeper.in_force().cert);
  }
};

Result<std::unique_ptr<ServerTls>> ServerTls::make(const TlsFiles& files) {
  MARGAY_TRY(auto keeper, TlsKeeper::open(files));
  MARGAY_TRY(auto identity, MemoryFile::make());
  MARGAY_TRY(auto ca, MemoryFile::make());
  auto impl = std::make_unique<Impl>(Impl{std::move(keeper), std::move(identity), std::move(ca)});
  MARGAY_CHECK(impl->publish());
  return std::unique_ptr<ServerTls>(new ServerTls(std::move(impl)));
}

ServerTls::ServerTls(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ServerTls::~ServerTls() = default;

std::shared_ptr<grpc::ServerCredentials> ServerTls::credentials() const {
  const auto identity = impl_->identity.path();
  tls_api::TlsServerCredentialsOptions options(
      std::make_shared<tls_api::FileWatcherCertificateProvider>(identity, identity,
                                                                impl_->ca.path(), 1));
  options.watch_root_certs();
  options.watch_identity_key_cert_pairs();
  options.set_cert_request_type(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  options.set_certificate_verifier(name_verifier(impl_->keeper.files()));
  options.set_check_call_host(false);
  return tls_api::TlsServerCredentials(options);
}

void ServerTls::refresh() {
  if (!impl_->keeper.refresh()) return;
  if (const auto ok = impl_->publish(); !ok.ok()) {
    log::warn("tls_files_unusable", kv("problem", ok.error()));
  }
}

const std::string& ServerTls::problem() const { return impl_->keeper.problem(); }

void set_server_defaults(grpc::ServerBuilder& builder) {
  keep_library();
  builder.SetMaxReceiveMessageSize(16 * 1024 * 1024);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 60'000);  // heartbeats find out earlier
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10'000);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);  // a second server must fail to bind
}

void adopt_grpc() {
  // Names mean what they mean to the rest of the system. gRPC's own resolver asks a name server
  // also where the hosts file knows the name.
  ::setenv("GRPC_DNS_RESOLVER", "native", 0);
  gpr_set_log_verbosity(GPR_LOG_SEVERITY_ERROR);
  gpr_set_log_function([](gpr_log_func_args* args) {
    // gRPC says so of every connection to a server whose certificate has no subject alternative
    // name, and goes on: the name is for our verifier to judge.
    if (std::string_view(args->message).starts_with("No match found for server name")) return;
    if (args->severity == GPR_LOG_SEVERITY_ERROR) log::warn("grpc", kv("text", args->message));
  });
}

Error error_from(const grpc::Status& status, const std::string& what) {
  return error_of(static_cast<int>(status.error_code()), status.error_message(), what);
}

namespace {
constexpr std::array kCodes{Code::invalid,     Code::not_found, Code::exists,    Code::conflict,
                            Code::unavailable, Code::refused,   Code::compacted, Code::overrun,
                            Code::system,      Code::internal};
}

void to_proto(const Error& error, store::v1::StoreError* out) {
  out->set_name(std::string(to_string(error.code)));
  out->set_sys_errno(error.sys_errno);
  out->set_context(error.context);
}

Error from_proto(const store::v1::StoreError& error) {
  const auto* code = std::find_if(kCodes.begin(), kCodes.end(),
                                  [&](Code c) { return to_string(c) == error.name(); });
  return Error{code == kCodes.end() ? Code::internal : *code, error.sys_errno(), error.context()};
}

}  // namespace margay::transport
