#!/bin/sh
# Sees to it that /tls holds a certificate: a real one is left alone, our own is made and renewed.
set -eu
umask 077
cd "${TLS_DIR:-/tls}"
nginx=101
keep=$((14 * 86400))
ca_name='Breakout Bot deployment CA'
extensions='subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid'
name=${SERVER_NAME:-localhost}
with_sub_domains() { for label in '' api. grafana. prometheus.; do printf 'DNS:%s%s, ' "$label" "$1"; done; }
case $name in
localhost | 127.0.0.1) names= ;;
*[!0-9.]*) names=$(with_sub_domains "$name") ;;
*) names="IP Address:$name, " ;;
esac
names="${names}$(with_sub_domains localhost)IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1"

say() { echo "certs: $*"; }
lasts() { openssl x509 -in "$1" -noout -checkend $keep; }
ours() { openssl x509 -in server.crt -noout -issuer | grep -q "$ca_name"; }
put() { # makes new.crt and new.key the served ones
    chmod 644 new.crt && chmod 400 new.key && chown $nginx:$nginx new.key &&
        mv new.key server.key && mv new.crt server.crt
}
good() {
    [ -s server.key ] && lasts server.crt && openssl verify -CAfile ca.crt server.crt &&
        openssl x509 -in server.crt -noout -ext subjectAltName | grep -qx " *$names"
}
make() { # SUBJECT DAYS EXTENSIONS [options of openssl]: writes new.crt and new.key
    printf "[req]\ndistinguished_name=dn\nx509_extensions=x\n[dn]\n[x]\n$extensions\n$3\n" >new.cnf
    subject=$1 days=$2
    shift 3
    log=$(openssl req -x509 -config new.cnf -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
        -subj "/CN=$subject" -days "$days" -keyout new.key -out new.crt "$@" 2>&1) || { say "$log"; return 1; }
    rm new.cnf
}
make_ca() {
    make "$ca_name" 3650 'basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign' &&
        chmod 644 new.crt && mv new.key ca.key && mv new.crt ca.crt
}
make_server() {
    san=$(echo "$names" | sed 's/IP Address:/IP:/g; s/, /,/g')
    make 'Breakout Bot' 90 "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature
extendedKeyUsage=serverAuth\nsubjectAltName=$san" -CA ca.crt -CAkey ca.key &&
        cat ca.crt >>new.crt && put
}
issued=letsencrypt/live/breakout-bot # where an ACME client keeps what it obtained
is_newer() { [ -s $issued/fullchain.pem ] && ! [ server.crt -nt $issued/fullchain.pem ]; }
put_issued() {
    cat $issued/privkey.pem >new.key && cat $issued/fullchain.pem >new.crt && put &&
        say "put in place what is in $issued"
}
aside() { # ca.crt is what clients verify with: not our authority, when another has signed
    openssl x509 -in ca.crt -noout -subject 2>/dev/null | grep -q "$ca_name" || return 0
    mkdir -p own && for file in ca.key ca.crt; do [ ! -e $file ] || mv $file own/; done
}
back() { [ ! -s own/ca.crt ] || mv own/ca.* .; }

metrics() { # for Prometheus, through the proxy
    ends=$(openssl x509 -in server.crt -noout -enddate | cut -d= -f2)
    printf '%s\n' '# TYPE breakout_bot_certificate_not_after_seconds gauge' \
        "breakout_bot_certificate_not_after_seconds $(date -d "$ends" +%s)" >new.prom
    chmod 644 new.prom && mv new.prom metrics.prom
}

chmod 755 . && mkdir -p acme && chmod 755 acme
! is_newer || put_issued
if [ -s server.crt ] && ! ours; then
    say "server.crt was not made here: left alone"
    [ -n "$(find -L server.key \( -uid $nginx -perm -400 \) -o -perm -004)" ] && aside && metrics && exit 0
    say "expected server.key readable by user $nginx; run: chown $nginx server.key (beside server.crt)"
    exit 1
elif [ -s server.crt ] && good >/dev/null 2>&1; then
    say "our own certificate still lasts, for $names"
else
    back
    { [ -s ca.key ] && lasts ca.crt; } >/dev/null 2>&1 || make_ca
    make_server
    say "made a certificate for $names; clients trust ca.crt"
fi
metrics
