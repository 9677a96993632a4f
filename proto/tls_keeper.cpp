// SPDX-License-Identifier: Apache-2.0
#include "proto/tls_keeper.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <cerrno>
#include <fstream>
#include <memory>
#include <sstream>

#include "base/log.h"

namespace margay::transport {
namespace {

using Bio = std::unique_ptr<BIO, int (*)(BIO*)>;
using Certificate = std::unique_ptr<X509, void (*)(X509*)>;
using Key = std::unique_ptr<EVP_PKEY, void (*)(EVP_PKEY*)>;

std::string openssl_reason() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  const char* text = code == 0 ? nullptr : ERR_reason_error_string(code);
  return text == nullptr ? "unreadable" : text;
}

Result<std::string> read_file(const std::string& path, const char* what) {
  const std::ifstream file(path, std::ios::binary);
  if (!file) return sys_error(errno, std::string(what) + " " + path);
  std::ostringstream content;
  content << file.rdbuf();
  return std::move(content).str();
}

Bio memory(const std::string& pem) {
  return {BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), &BIO_free};
}

Result<Certificate> parse_certificate(const std::string& pem, const char* what,
                                      const std::string& path) {
  const Bio bio = memory(pem);
  Certificate c(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr), &X509_free);
  if (!c) {
    return make_error(Code::invalid, std::string(what) + " " + path +
                                         ": not a PEM certificate: " + openssl_reason());
  }
  return c;
}

std::string text_of(const ASN1_TIME* time) {
  const Bio bio(BIO_new(BIO_s_mem()), &BIO_free);
  ASN1_TIME_print(bio.get(), time);
  char* data = nullptr;
  const auto size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

// Empty: it is valid at this time.
std::string out_of_time(X509* certificate, const char* what, const std::string& path) {
  const std::string name = std::string(what) + " " + path;
  if (X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0) {
    return name + ": expired on " + text_of(X509_get0_notAfter(certificate));
  }
  if (X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0) {
    return name + ": not valid before " + text_of(X509_get0_notBefore(certificate));
  }
  return {};
}

Result<TlsMaterial> read(const TlsFiles& files) {
  TlsMaterial out;
  MARGAY_TRY(out.ca, read_file(files.ca_file, "CA file"));
  MARGAY_TRY(out.cert, read_file(files.cert_file, "certificate file"));
  MARGAY_TRY(out.key, read_file(files.key_file, "key file"));
  return out;
}

// Why it cannot be used now, although it can be read; an error when it cannot be used at all.
Result<std::string> judge(const TlsMaterial& m, const TlsFiles& files) {
  MARGAY_TRY(const Certificate ca, parse_certificate(m.ca, "CA file", files.ca_file));
  MARGAY_TRY(const Certificate cert,
             parse_certificate(m.cert, "certificate file", files.cert_file));
  const Bio bio = memory(m.key);
  const Key key(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr), &EVP_PKEY_free);
  if (!key) {
    return make_error(Code::invalid, "key file " + files.key_file +
                                         ": not a PEM private key: " + openssl_reason());
  }
  if (X509_check_private_key(cert.get(), key.get()) != 1) {
    ERR_clear_error();
    return make_error(Code::invalid, "key file " + files.key_file +
                                         " does not belong to certificate " + files.cert_file);
  }
  std::string late = out_of_time(cert.get(), "certificate file", files.cert_file);
  return late.empty() ? out_of_time(ca.get(), "CA file", files.ca_file) : late;
}

}  // namespace

Result<void> TlsFiles::check() const {
  if (ca_file.empty() || cert_file.empty() || key_file.empty()) {
    return make_error(Code::invalid,
                      "TLS needs the CA file, the certificate file and the key file, or none of "
                      "them");
  }
  if (peer_cn.empty() && peer_uri_san.empty()) {
    return make_error(Code::invalid, "TLS needs the peer's expected name: a CN or a URI SAN");
  }
  MARGAY_TRY(const TlsMaterial material, read(*this));
  MARGAY_TRY(const std::string late, judge(material, *this));
  return {};
}

Result<TlsKeeper> TlsKeeper::open(TlsFiles files) {
  MARGAY_CHECK(files.check());
  TlsKeeper out;
  out.files_ = std::move(files);
  MARGAY_TRY(out.in_force_, read(out.files_));
  MARGAY_TRY(out.problem_, judge(out.in_force_, out.files_));
  if (!out.problem_.empty()) log::warn("tls_files_unusable", kv("problem", out.problem_));
  return out;
}

bool TlsKeeper::refresh() {
  auto now = read(files_);
  auto verdict = now.ok() ? judge(*now, files_) : Result<std::string>(now.error());
  std::string problem = verdict.ok() ? *verdict : verdict.error().message();
  // Expired ones replace only what has expired as well.
  const auto old = judge(in_force_, files_);
  const bool better = verdict.ok() && (problem.empty() || !old.ok() || !old->empty());
  const bool changed = better && *now != in_force_;
  if (changed) {
    in_force_ = std::move(*now);
    log::info("tls_files_reloaded", kv("certificate", files_.cert_file));
  }
  if (problem != problem_ && !problem.empty()) {
    log::warn("tls_files_unusable", kv("problem", problem), kv("old_in_force", !better));
  }
  problem_ = std::move(problem);
  return changed;
}

}  // namespace margay::transport
