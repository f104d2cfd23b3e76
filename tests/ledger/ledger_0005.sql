BEGIN TRANSACTION;
CREATE TABLE about (
	id INTEGER NOT NULL, 
	ledger TEXT NOT NULL, 
	sandbox BOOLEAN NOT NULL, 
	created_at TEXT NOT NULL, 
	CONSTRAINT pk_about PRIMARY KEY (id), 
	CONSTRAINT ck_about_single CHECK (id = 1)
);
INSERT INTO "about" VALUES(1,'b85dd01b6b1e4928aa2e10fb0d49bd1c',0,'2026-03-01T12:00:00.000Z');
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0005');
CREATE TABLE cached (
	tenant INTEGER NOT NULL, 
	kind TEXT NOT NULL, 
	"key" TEXT NOT NULL, 
	at TEXT NOT NULL, 
	value TEXT NOT NULL, 
	CONSTRAINT pk_cached PRIMARY KEY (tenant, kind, "key"), 
	CONSTRAINT fk_cached_tenant FOREIGN KEY(tenant) REFERENCES tenant (id)
)
 WITHOUT ROWID

;
INSERT INTO "cached" VALUES(1,'access held','a0000000000000000000000000000020','2026-03-01T13:00:00.000Z','{"of": "x", "said": [["ROLE", "b0000000000000000000000000000030"]]}');
INSERT INTO "cached" VALUES(1,'access held','a0000000000000000000000000000050','2026-03-01T14:00:00.000Z','{"of": "x", "said": [["ROLE", "b0000000000000000000000000000060"]]}');
INSERT INTO "cached" VALUES(1,'identity by email','ann@example.com','2026-03-01T13:00:00.000Z','{"looked": ["email"], "found": [["a0000000000000000000000000000020", "Ann (ann)", true]]}');
INSERT INTO "cached" VALUES(1,'in progress','a0000000000000000000000000000021','2026-03-01T13:00:00.000Z','{"of": "x", "said": []}');
CREATE TABLE call (
	pace INTEGER NOT NULL, 
	number INTEGER NOT NULL, 
	left_at FLOAT, 
	machine TEXT NOT NULL, 
	pid INTEGER NOT NULL, 
	process_started FLOAT NOT NULL, 
	permitted_at FLOAT NOT NULL, 
	CONSTRAINT pk_call PRIMARY KEY (pace, number), 
	CONSTRAINT fk_call_pace FOREIGN KEY(pace) REFERENCES pace (id)
)
 WITHOUT ROWID

;
INSERT INTO "call" VALUES(1,1,1772370000.0,'elsewhere',3,1.0,1772370000.0);
INSERT INTO "call" VALUES(1,2,NULL,'elsewhere',3,1.0,1772370000.0);
INSERT INTO "call" VALUES(2,1,NULL,'elsewhere',5,1.0,1772373600.0);
CREATE TABLE detail (
	id INTEGER NOT NULL, 
	comment TEXT NOT NULL, 
	start_date TEXT NOT NULL, 
	remove_date TEXT NOT NULL, 
	metadata TEXT NOT NULL, 
	CONSTRAINT pk_detail PRIMARY KEY (id), 
	CONSTRAINT uq_detail_comment UNIQUE (comment, start_date, remove_date, metadata)
);
INSERT INTO "detail" VALUES(1,'','','','');
INSERT INTO "detail" VALUES(2,'Left.','','','');
INSERT INTO "detail" VALUES(3,'Onboarding.','','2027-01-01T00:00:00Z','{"ticket": "T-1"}');
CREATE TABLE envelope (
	request INTEGER NOT NULL, 
	number INTEGER NOT NULL, 
	CONSTRAINT pk_envelope PRIMARY KEY (request), 
	CONSTRAINT fk_envelope_request FOREIGN KEY(request) REFERENCES request (number)
);
INSERT INTO "envelope" VALUES(13,13);
INSERT INTO "envelope" VALUES(14,13);
INSERT INTO "envelope" VALUES(15,15);
INSERT INTO "envelope" VALUES(16,15);
CREATE TABLE event (
	run INTEGER NOT NULL, 
	number INTEGER NOT NULL, 
	at TEXT NOT NULL, 
	request INTEGER, 
	event TEXT NOT NULL, 
	attempt INTEGER, 
	status INTEGER, 
	detail TEXT NOT NULL, 
	hash TEXT NOT NULL, 
	CONSTRAINT pk_event PRIMARY KEY (run, number), 
	CONSTRAINT fk_event_request FOREIGN KEY(request) REFERENCES request (number), 
	CONSTRAINT fk_event_run FOREIGN KEY(run) REFERENCES run (number)
)
 WITHOUT ROWID

;
INSERT INTO "event" VALUES(1,1,'2026-03-01T12:00:00.000Z',NULL,'planned',NULL,NULL,'{"first": 1, "requests": 7, "changes": 22}','f0f24aeb8563b3b377ea16d59062c1fd3d80bfc232cfc95c7bceb9a5ff9254ed');
INSERT INTO "event" VALUES(1,2,'2026-03-01T12:00:01.000Z',1,'claimed',1,NULL,'{"body_sha256": "2a8e7b314c0a2767f68021e05f2bcc246bc52957ee175b5eebde633e1f9447ef"}','7356bd7810c931fff83d4e861967481c5f0481214c340834e28a9cda11425824');
INSERT INTO "event" VALUES(1,3,'2026-03-01T12:00:02.000Z',1,'not_processed',1,429,'{"reason": "the tenant answered 429"}','02442112e0d9f2f6aa5f5cfa803028d346eeb20a7788b0d807dc853e544a6aad');
INSERT INTO "event" VALUES(1,4,'2026-03-01T12:00:03.000Z',1,'claimed',2,NULL,'{"body_sha256": "2a8e7b314c0a2767f68021e05f2bcc246bc52957ee175b5eebde633e1f9447ef"}','67a89f5951b0f06157f82033c9ae833258167c3898287405000b7bd9d6b54423');
INSERT INTO "event" VALUES(1,5,'2026-03-01T12:00:04.000Z',1,'refused',2,400,'{"detail_code": "400.1", "tracking_id": "t-1", "reason": "the tenant answered 400: Bad item. (tracking id t-1)"}','296f364a70bc7282b3adce6b45fd2cf9ba52533626f93af8392082435c700084');
INSERT INTO "event" VALUES(1,6,'2026-03-01T12:00:04.000Z',1,'taken_over',NULL,NULL,'{"by": [8, 9]}','a6de0b145f23491d0c29f22afae5659ac14598117ab5f0e48c342d9e06bb0ec3');
INSERT INTO "event" VALUES(1,7,'2026-03-01T12:00:05.000Z',2,'claimed',1,NULL,'{"body_sha256": "6fc8109e180928f5471e9587b9146e11b3aa1c67ee17c868646393e34e98a08c"}','8db90909453c21d170bbe636c6908d7e37179bb4dc1f7ae49e014b862054b34c');
INSERT INTO "event" VALUES(1,8,'2026-03-01T12:00:06.000Z',2,'accepted',1,202,'{}','fc0195101299f7e22e77d14bb9e438bd0beabdb971329fc782e3d598a70da3c2');
INSERT INTO "event" VALUES(1,9,'2026-03-01T12:00:07.000Z',3,'claimed',1,NULL,'{"body_sha256": "3bfebbf600cb0aab0abde2c15da335964b26806a86ba6edecab4b0f801a974aa"}','fe30fe47495dcd7899775af5c99dfe8ca6f9e3e1c5fcd633e4cd307049d6162f');
INSERT INTO "event" VALUES(1,10,'2026-03-01T12:00:08.000Z',3,'undecided',1,500,'{"reason": "the tenant answered 500"}','810cf506c7d02f2bf26e49aed31e37450f46dd41fcef1925cf9c6c44669be425');
INSERT INTO "event" VALUES(1,11,'2026-03-01T12:00:08.000Z',3,'not_found',NULL,NULL,'{}','232fa9329b58cf37ae71b109fbf86c857e79e021afb97a701fc047b6fc4e4bf2');
INSERT INTO "event" VALUES(1,12,'2026-03-01T12:00:09.000Z',3,'claimed',2,NULL,'{"body_sha256": "3bfebbf600cb0aab0abde2c15da335964b26806a86ba6edecab4b0f801a974aa"}','d97b37668e7d87a63b156c1f8c007c693a92a458db83c97eb2dedd8e1c899050');
INSERT INTO "event" VALUES(1,13,'2026-03-01T12:00:10.000Z',3,'undecided',2,500,'{"reason": "the tenant answered 500"}','635e7cebe9a27bc0bab18a3d3fccde1d18b8a333577a495083b9eeeaeec6f8c4');
INSERT INTO "event" VALUES(1,14,'2026-03-01T12:00:11.000Z',4,'claimed',1,NULL,'{"body_sha256": "7d655d37fc353d0e9fe5797926b5557702ec20e4f21ccb1c983ab6de810f1322"}','b5e8980699f5ce4f647e338daff57f8808c8816f5d15a57b229b996a4d36c551');
INSERT INTO "event" VALUES(1,15,'2026-03-01T12:00:12.000Z',4,'refused',1,400,'{"reason": "the tenant answered 400: Bad item."}','08e3b49a506609908bc71772a11b63dae94674b19ee543d148a1e379de895585');
INSERT INTO "event" VALUES(1,16,'2026-03-01T12:00:13.000Z',5,'claimed',1,NULL,'{"body_sha256": "948041c8e4d90d086a21534f0857286f6d830e8051e25a9f0f7521cd8d97e583"}','6837d3d3a314e6e6cd0fa64d228a386e292f5970a69c2642d3ea6c230a5667c5');
INSERT INTO "event" VALUES(1,17,'2026-03-01T12:00:14.000Z',5,'accepted',1,202,'{}','d0f10eb087d599d9b115431b5be111110eb7dbfb1be97b527c84d1cb8b0de686');
INSERT INTO "event" VALUES(2,1,'2026-03-01T12:00:14.000Z',NULL,'planned',NULL,NULL,'{"first": 10, "requests": 2, "changes": 5}','68fba3eec4a8e79c743549f431e24a076bf0094985f08502ada655ef804f069b');
INSERT INTO "event" VALUES(2,2,'2026-03-01T12:00:14.000Z',10,'discarded',NULL,NULL,'{}','227fb58e374d66d3b3d2f1611545fff62b64ec513daac7ab356b84e8b96acfb7');
INSERT INTO "event" VALUES(2,3,'2026-03-01T12:00:14.000Z',11,'discarded',NULL,NULL,'{}','be2b699927c5d13f58486737fa98b4cc818f53eb319b4cab25f7cf8422f96f87');
INSERT INTO "event" VALUES(3,1,'2026-03-01T12:00:14.000Z',NULL,'planned',NULL,NULL,'{"first": 12, "requests": 1, "changes": 4}','3c0b0a14a0cb86f6720041b3535d0277ccb078f3c76f2d9d29d706e89ea0fc64');
INSERT INTO "event" VALUES(3,2,'2026-03-01T12:00:14.000Z',12,'claimed',1,NULL,'{"body_sha256": "54735fc503dc9ff89c6f7088d015a3c558c7772a1b847eb70f8c2bd300c093f2"}','f4ded0222e8235a91038d03fc1c0dfb8dfbaf5ab307ac66f70a30d4146858e2a');
INSERT INTO "event" VALUES(4,1,'2026-03-01T13:00:00.000Z',NULL,'planned',NULL,NULL,'{"first": 13, "requests": 5, "changes": 8}','09dc89b20efe49f9ec2273932d9937026296064cc47e3ee0d6017dc3b694931a');
INSERT INTO "event" VALUES(4,2,'2026-03-01T13:00:01.000Z',13,'claimed',1,NULL,'{"body_sha256": "ac5f9365e38ae01ac1d5fabd92273b2939300a0dc03f38ce794c70b27bf9c6a3"}','060d86d0a6d76c9e4dd274f525c3729831f7be12f3aca8efd51591809a35af5e');
INSERT INTO "event" VALUES(4,3,'2026-03-01T13:00:01.000Z',14,'claimed',1,NULL,'{"body_sha256": "ac5f9365e38ae01ac1d5fabd92273b2939300a0dc03f38ce794c70b27bf9c6a3", "within": 13}','76c2ff3cabf472037bc778f1c7cce6454c273e722916fca5af180ae619e49150');
INSERT INTO "event" VALUES(4,4,'2026-03-01T13:00:01.000Z',13,'not_processed',1,429,'{"reason": "the tenant answered 429: Wait."}','c8eccce99da220e929addb41107c3ebe30c6a15cf7280e6db31014aaffba20e4');
INSERT INTO "event" VALUES(4,5,'2026-03-01T13:00:01.000Z',14,'not_processed',1,429,'{"reason": "the tenant answered 429: Wait.", "within": 13}','52d20c3f8a31737fa9d3a398b6bec134f92bcf1205c24c05e76014bad7da9a29');
INSERT INTO "event" VALUES(4,6,'2026-03-01T13:00:02.000Z',13,'claimed',2,NULL,'{"body_sha256": "ac5f9365e38ae01ac1d5fabd92273b2939300a0dc03f38ce794c70b27bf9c6a3"}','fab9e8aae91536e281c9bf43697da91ef88790d17cd47e9d421777a0f09d83c2');
INSERT INTO "event" VALUES(4,7,'2026-03-01T13:00:02.000Z',14,'claimed',2,NULL,'{"body_sha256": "ac5f9365e38ae01ac1d5fabd92273b2939300a0dc03f38ce794c70b27bf9c6a3", "within": 13}','1ac0f53bfa71e0f9ce17675c235e782204212abda23a1fc02787627087fd06ca');
INSERT INTO "event" VALUES(4,8,'2026-03-01T13:00:02.000Z',13,'accepted',2,202,'{}','581213c17fa5a0803c36f5b688333595cd8189fa6ae8c043b495dd4a35869907');
INSERT INTO "event" VALUES(4,9,'2026-03-01T13:00:02.000Z',14,'accepted',2,202,'{"within": 13}','ed807890aa8f820c9bb5989e587baf2025ad514cfce9ff4e6879201485302bc4');
INSERT INTO "event" VALUES(4,10,'2026-03-01T13:00:03.000Z',15,'claimed',1,NULL,'{"body_sha256": "cc009740118e7d764eeeae46133573b0d1f955a96e42a6527d11e952cbb12d28"}','d3d1f6ab86762fd4c7590cddbcf81eaa3e6c2ee925f82da773e8acf01aa7634a');
INSERT INTO "event" VALUES(4,11,'2026-03-01T13:00:03.000Z',16,'claimed',1,NULL,'{"body_sha256": "cc009740118e7d764eeeae46133573b0d1f955a96e42a6527d11e952cbb12d28", "within": 15}','8ea8623cd14378d022179801be698ba68ec827f5e029c4277b269b8c112f05fd');
INSERT INTO "event" VALUES(4,12,'2026-03-01T13:00:03.000Z',15,'undecided',1,500,'{"reason": "the tenant answered 500"}','5779f0ecd4777514fc20fb08ae52c172fc2a2b8e34bae0702f977ebc89bb0de1');
INSERT INTO "event" VALUES(4,13,'2026-03-01T13:00:03.000Z',16,'undecided',1,500,'{"reason": "the tenant answered 500", "within": 15}','b1bc6cca02c458d212eded0c5388c82ce7e739dba2c8f2fc8a89838e8127a14f');
INSERT INTO "event" VALUES(5,1,'2026-03-01T13:00:00.000Z',NULL,'imported',NULL,NULL,'{"first": 18, "requests": 3, "changes": 7}','4c9dff1b4dfd875a80fde603e8a42032e4c8bf9fba26ed0bce5f66a9ff533c04');
INSERT INTO "event" VALUES(6,1,'2026-03-01T14:00:00.000Z',NULL,'planned',NULL,NULL,'{"first": 21, "requests": 5, "changes": 8}','1c2937ca62210009f368ab6830f5aab68c348ee14ce23572cc497a8c9b6fb652');
INSERT INTO "event" VALUES(6,2,'2026-03-01T14:00:01.000Z',21,'claimed',1,NULL,'{"body_sha256": "dbed21906de1dca46a152c81c48e3b7c4de520d0590c897bc21def312dceb4bc"}','6e00561f1462b800dfb121f0eb1c1707265420048ec54c262518cf754046bd38');
INSERT INTO "event" VALUES(6,3,'2026-03-01T14:00:01.000Z',21,'accepted',1,202,'{"server_time": "2026-03-01T14:00:01.000Z"}','c8c2afeab9fb98cc2ecafa2673d252f7e63ff9b2f93fcfdc729557c3a9c966e9');
INSERT INTO "event" VALUES(6,4,'2026-03-01T14:00:02.000Z',22,'claimed',1,NULL,'{"body_sha256": "c80781c18bea40596318dc8e0aa4e50ef324d19358b299af0fd1e47acebe4567"}','044f2930c358e4c3c0bc779d3da1d080e39745a590a6e7ebf16e651a1bedef71');
INSERT INTO "event" VALUES(6,5,'2026-03-01T14:00:02.000Z',22,'undecided',1,500,'{"reason": "the tenant answered 500"}','693e1e7a178c1a96a82955bde81d3a4865d80ae3526ba1f178eb319971a00244');
INSERT INTO "event" VALUES(7,1,'2026-03-01T14:00:00.000Z',NULL,'planned',NULL,NULL,'{"first": 26, "requests": 1, "changes": 2}','b4cb1963cc92134191b108bd122a43244de02a56f77bc168abbbc090e0c72f28');
INSERT INTO "event" VALUES(7,2,'2026-03-01T14:00:00.000Z',26,'claimed',1,NULL,'{"body_sha256": "f740f5505c1782dd2fe973dc9b7c6363463c9b20ad1f636ff620d6e440d9f401"}','228ca0918b5cedbaa0b8c8119151daf6b9b89f7fd195dc5853454dabfd72c2cd');
INSERT INTO "event" VALUES(7,3,'2026-03-01T14:00:00.000Z',26,'accepted',1,202,'{}','ce0264248fa223b40f6d5715c5c2ac2d49e3029262e284fc09cdae07f7ee6c25');
INSERT INTO "event" VALUES(8,1,'2026-03-01T14:00:00.000Z',NULL,'imported',NULL,NULL,'{"first": 27, "requests": 1, "changes": 2}','a4b201464832219d5b6e3d3a82fd67e16d1822362fcf993e9d9e4fb74eb4aaa3');
CREATE TABLE finding (
	id INTEGER NOT NULL, 
	state TEXT NOT NULL, 
	who TEXT NOT NULL, 
	said TEXT NOT NULL, 
	CONSTRAINT pk_finding PRIMARY KEY (id), 
	CONSTRAINT uq_finding_state UNIQUE (state, who, said)
);
INSERT INTO "finding" VALUES(1,'REJECTED','Bob Owner','Not before May.');
INSERT INTO "finding" VALUES(2,'REQUEST_COMPLETED','Ann Owner','');
INSERT INTO "finding" VALUES(3,'EXECUTING','','');
INSERT INTO "finding" VALUES(4,'REQUEST_COMPLETED','','');
INSERT INTO "finding" VALUES(5,'EXECUTING','Ann Owner','');
CREATE TABLE holder (
	run INTEGER NOT NULL, 
	host TEXT NOT NULL, 
	machine TEXT NOT NULL, 
	pid INTEGER NOT NULL, 
	process_started FLOAT NOT NULL, 
	since TEXT NOT NULL, 
	beat TEXT NOT NULL, 
	CONSTRAINT pk_holder PRIMARY KEY (run), 
	CONSTRAINT fk_holder_run FOREIGN KEY(run) REFERENCES run (number)
);
INSERT INTO "holder" VALUES(3,'elsewhere','elsewhere',1,1.0,'2026-03-01T12:00:14.000Z','2026-03-01T12:00:14.000Z');
CREATE TABLE identity (
	id INTEGER NOT NULL, 
	tenant INTEGER NOT NULL, 
	external_id TEXT NOT NULL, 
	CONSTRAINT pk_identity PRIMARY KEY (id), 
	CONSTRAINT fk_identity_tenant FOREIGN KEY(tenant) REFERENCES tenant (id), 
	CONSTRAINT uq_identity_tenant UNIQUE (tenant, external_id)
);
INSERT INTO "identity" VALUES(1,1,'Person Ü');
INSERT INTO "identity" VALUES(2,1,'a0000000000000000000000000000000');
INSERT INTO "identity" VALUES(3,1,'a0000000000000000000000000000001');
INSERT INTO "identity" VALUES(4,1,'a0000000000000000000000000000002');
INSERT INTO "identity" VALUES(5,1,'a0000000000000000000000000000003');
INSERT INTO "identity" VALUES(6,1,'a0000000000000000000000000000004');
INSERT INTO "identity" VALUES(7,1,'a0000000000000000000000000000005');
INSERT INTO "identity" VALUES(8,1,'a0000000000000000000000000000006');
INSERT INTO "identity" VALUES(9,1,'a0000000000000000000000000000007');
INSERT INTO "identity" VALUES(10,1,'a0000000000000000000000000000008');
INSERT INTO "identity" VALUES(11,1,'a0000000000000000000000000000009');
INSERT INTO "identity" VALUES(12,1,'a000000000000000000000000000000a');
INSERT INTO "identity" VALUES(13,2,'a0000000000000000000000000000000');
INSERT INTO "identity" VALUES(14,2,'a0000000000000000000000000000001');
INSERT INTO "identity" VALUES(15,2,'a000000000000000000000000000000b');
INSERT INTO "identity" VALUES(16,1,'a0000000000000000000000000000020');
INSERT INTO "identity" VALUES(17,1,'a0000000000000000000000000000021');
INSERT INTO "identity" VALUES(18,1,'a0000000000000000000000000000022');
INSERT INTO "identity" VALUES(19,1,'a0000000000000000000000000000023');
INSERT INTO "identity" VALUES(20,1,'a0000000000000000000000000000024');
INSERT INTO "identity" VALUES(21,1,'a0000000000000000000000000000025');
INSERT INTO "identity" VALUES(22,1,'a0000000000000000000000000000040');
INSERT INTO "identity" VALUES(23,1,'a0000000000000000000000000000041');
INSERT INTO "identity" VALUES(24,1,'0A000000-0000-4000-8000-00000000005B');
INSERT INTO "identity" VALUES(25,1,'a0000000000000000000000000000050');
INSERT INTO "identity" VALUES(26,1,'a0000000000000000000000000000051');
INSERT INTO "identity" VALUES(27,1,'a0000000000000000000000000000052');
INSERT INTO "identity" VALUES(28,1,'a0000000000000000000000000000053');
INSERT INTO "identity" VALUES(29,1,'a0000000000000000000000000000054');
INSERT INTO "identity" VALUES(30,2,'a0000000000000000000000000000050');
INSERT INTO "identity" VALUES(31,2,'a0000000000000000000000000000051');
INSERT INTO "identity" VALUES(32,2,'i0');
CREATE TABLE item (
	id INTEGER NOT NULL, 
	tenant INTEGER NOT NULL, 
	type TEXT NOT NULL, 
	external_id TEXT NOT NULL, 
	CONSTRAINT pk_item PRIMARY KEY (id), 
	CONSTRAINT ck_item_type_known CHECK (type IN ('ACCESS_PROFILE', 'ROLE', 'ENTITLEMENT')), 
	CONSTRAINT fk_item_tenant FOREIGN KEY(tenant) REFERENCES tenant (id), 
	CONSTRAINT uq_item_tenant UNIQUE (tenant, external_id, type)
);
INSERT INTO "item" VALUES(1,1,'ENTITLEMENT','AbC-1');
INSERT INTO "item" VALUES(2,1,'ROLE','b0000000000000000000000000000000');
INSERT INTO "item" VALUES(3,1,'ROLE','b0000000000000000000000000000001');
INSERT INTO "item" VALUES(4,1,'ROLE','b0000000000000000000000000000002');
INSERT INTO "item" VALUES(5,1,'ROLE','b0000000000000000000000000000003');
INSERT INTO "item" VALUES(6,1,'ROLE','b0000000000000000000000000000004');
INSERT INTO "item" VALUES(7,1,'ROLE','b0000000000000000000000000000005');
INSERT INTO "item" VALUES(8,2,'ACCESS_PROFILE','AbC-1');
INSERT INTO "item" VALUES(9,2,'ROLE','b0000000000000000000000000000004');
INSERT INTO "item" VALUES(10,2,'ROLE','b0000000000000000000000000000005');
INSERT INTO "item" VALUES(11,1,'ROLE','b0000000000000000000000000000020');
INSERT INTO "item" VALUES(12,1,'ROLE','b0000000000000000000000000000021');
INSERT INTO "item" VALUES(13,1,'ROLE','b0000000000000000000000000000022');
INSERT INTO "item" VALUES(14,1,'ROLE','b0000000000000000000000000000023');
INSERT INTO "item" VALUES(15,1,'ROLE','b0000000000000000000000000000040');
INSERT INTO "item" VALUES(16,1,'ROLE','b0000000000000000000000000000041');
INSERT INTO "item" VALUES(17,1,'ROLE','b0000000000000000000000000000042');
INSERT INTO "item" VALUES(18,1,'ROLE','b0000000000000000000000000000050');
INSERT INTO "item" VALUES(19,1,'ROLE','b0000000000000000000000000000051');
INSERT INTO "item" VALUES(20,1,'ROLE','b0000000000000000000000000000052');
INSERT INTO "item" VALUES(21,2,'ROLE','b0000000000000000000000000000050');
INSERT INTO "item" VALUES(22,2,'ROLE','r1');
INSERT INTO "item" VALUES(23,2,'ROLE','r2');
CREATE TABLE name_meaning (
	run INTEGER NOT NULL, 
	kind TEXT NOT NULL, 
	name TEXT NOT NULL, 
	at TEXT NOT NULL, 
	outcome TEXT NOT NULL, 
	id TEXT NOT NULL, 
	problem TEXT NOT NULL, 
	CONSTRAINT pk_name_meaning PRIMARY KEY (run, kind, name), 
	CONSTRAINT ck_name_meaning_outcome_known CHECK (outcome IN ('found', 'unknown', 'ambiguous')), 
	CONSTRAINT ck_name_meaning_id_if_found CHECK ((outcome = 'found') = (id <> '')), 
	CONSTRAINT fk_name_meaning_run FOREIGN KEY(run) REFERENCES run (number)
)
 WITHOUT ROWID

;
INSERT INTO "name_meaning" VALUES(4,'access profile by name','Sales','2026-03-01T13:00:00.000Z','found','AbC-2','');
INSERT INTO "name_meaning" VALUES(4,'identity by email','ann@example.com','2026-03-01T13:00:00.000Z','found','a0000000000000000000000000000020','');
INSERT INTO "name_meaning" VALUES(4,'identity by email','nobody@example.com','2026-03-01T13:00:00.000Z','unknown','','nobody has the e-mail ''nobody@example.com''');
INSERT INTO "name_meaning" VALUES(4,'identity by email','two
lines@example.com','2026-03-01T13:00:00.000Z','ambiguous','','2 identities have the e-mail');
INSERT INTO "name_meaning" VALUES(4,'identity by email','Ünal@example.com','2026-03-01T13:00:00.000Z','found','a0000000000000000000000000000021','');
INSERT INTO "name_meaning" VALUES(4,'role by name','Sales','2026-03-01T13:00:00.000Z','found','b0000000000000000000000000000020','');
INSERT INTO "name_meaning" VALUES(6,'identity by email','five@example.com','2026-03-01T14:00:00.000Z','found','a0000000000000000000000000000050','');
INSERT INTO "name_meaning" VALUES(6,'identity by email','nobody5@example.com','2026-03-01T14:00:00.000Z','unknown','','nobody has it');
CREATE TABLE pace (
	id INTEGER NOT NULL, 
	tenant INTEGER NOT NULL, 
	client TEXT NOT NULL, 
	dialect TEXT NOT NULL, 
	calls INTEGER NOT NULL, 
	longest FLOAT NOT NULL, 
	silent_since FLOAT NOT NULL, 
	silent_until FLOAT NOT NULL, 
	cut_to FLOAT NOT NULL, 
	cut_at FLOAT NOT NULL, 
	CONSTRAINT pk_pace PRIMARY KEY (id), 
	CONSTRAINT ck_pace_share CHECK (cut_to > 0 AND cut_to <= 1), 
	CONSTRAINT fk_pace_tenant FOREIGN KEY(tenant) REFERENCES tenant (id), 
	CONSTRAINT uq_pace_tenant UNIQUE (tenant, client, dialect)
);
INSERT INTO "pace" VALUES(1,1,'client','beta',2,10.0,0.0,0.0,1.0,0.0);
INSERT INTO "pace" VALUES(2,2,'client','beta',1,10.0,0.0,0.0,1.0,0.0);
CREATE TABLE recipient (
	identity INTEGER NOT NULL, 
	request INTEGER NOT NULL, 
	CONSTRAINT pk_recipient PRIMARY KEY (identity, request), 
	CONSTRAINT fk_recipient_identity FOREIGN KEY(identity) REFERENCES identity (id), 
	CONSTRAINT fk_recipient_request FOREIGN KEY(request) REFERENCES request (number)
)
 WITHOUT ROWID

;
INSERT INTO "recipient" VALUES(1,6);
INSERT INTO "recipient" VALUES(2,1);
INSERT INTO "recipient" VALUES(2,8);
INSERT INTO "recipient" VALUES(2,12);
INSERT INTO "recipient" VALUES(3,1);
INSERT INTO "recipient" VALUES(3,9);
INSERT INTO "recipient" VALUES(3,12);
INSERT INTO "recipient" VALUES(4,1);
INSERT INTO "recipient" VALUES(4,9);
INSERT INTO "recipient" VALUES(5,2);
INSERT INTO "recipient" VALUES(6,2);
INSERT INTO "recipient" VALUES(7,3);
INSERT INTO "recipient" VALUES(8,3);
INSERT INTO "recipient" VALUES(9,4);
INSERT INTO "recipient" VALUES(10,5);
INSERT INTO "recipient" VALUES(11,7);
INSERT INTO "recipient" VALUES(12,7);
INSERT INTO "recipient" VALUES(13,10);
INSERT INTO "recipient" VALUES(14,10);
INSERT INTO "recipient" VALUES(15,11);
INSERT INTO "recipient" VALUES(16,13);
INSERT INTO "recipient" VALUES(17,14);
INSERT INTO "recipient" VALUES(18,15);
INSERT INTO "recipient" VALUES(19,16);
INSERT INTO "recipient" VALUES(20,17);
INSERT INTO "recipient" VALUES(21,17);
INSERT INTO "recipient" VALUES(22,18);
INSERT INTO "recipient" VALUES(22,20);
INSERT INTO "recipient" VALUES(23,19);
INSERT INTO "recipient" VALUES(24,25);
INSERT INTO "recipient" VALUES(25,21);
INSERT INTO "recipient" VALUES(26,22);
INSERT INTO "recipient" VALUES(27,23);
INSERT INTO "recipient" VALUES(28,24);
INSERT INTO "recipient" VALUES(29,24);
INSERT INTO "recipient" VALUES(30,26);
INSERT INTO "recipient" VALUES(31,26);
INSERT INTO "recipient" VALUES(32,27);
CREATE TABLE request (
	number INTEGER NOT NULL, 
	run INTEGER NOT NULL, 
	operation TEXT NOT NULL, 
	state TEXT NOT NULL, 
	state_at TEXT NOT NULL, 
	recipient_count INTEGER NOT NULL, 
	item_count INTEGER NOT NULL, 
	attempts INTEGER NOT NULL, 
	parent INTEGER, 
	recipients TEXT NOT NULL, 
	CONSTRAINT pk_request PRIMARY KEY (number), 
	CONSTRAINT ck_request_revoke_of_one CHECK (operation <> 'REVOKE' OR recipient_count = 1), 
	CONSTRAINT ck_request_operation_known CHECK (operation IN ('GRANT', 'REVOKE')), 
	CONSTRAINT ck_request_sent_only_by_an_attempt CHECK (state IN ('PLANNED', 'DISCARDED') OR attempts >= 1 OR parent IS NOT NULL), 
	CONSTRAINT ck_request_state_known CHECK (state IN ('PLANNED', 'SENDING', 'ACCEPTED', 'REFUSED', 'UNCONFIRMED', 'SPLIT', 'DISCARDED')), 
	CONSTRAINT ck_request_not_empty CHECK (recipient_count >= 1 AND item_count >= 1), 
	CONSTRAINT fk_request_parent FOREIGN KEY(parent) REFERENCES request (number), 
	CONSTRAINT fk_request_run FOREIGN KEY(run) REFERENCES run (number)
);
INSERT INTO "request" VALUES(1,1,'GRANT','SPLIT','2026-03-01T12:00:04.000Z',3,2,2,NULL,'2 3 4');
INSERT INTO "request" VALUES(2,1,'GRANT','ACCEPTED','2026-03-01T12:00:06.000Z',2,3,1,NULL,'5 6');
INSERT INTO "request" VALUES(3,1,'GRANT','UNCONFIRMED','2026-03-01T12:00:10.000Z',2,2,2,NULL,'7 8');
INSERT INTO "request" VALUES(4,1,'REVOKE','REFUSED','2026-03-01T12:00:12.000Z',1,1,1,NULL,'9');
INSERT INTO "request" VALUES(5,1,'GRANT','ACCEPTED','2026-03-01T12:00:14.000Z',1,1,1,NULL,'10');
INSERT INTO "request" VALUES(6,1,'GRANT','PLANNED','2026-03-01T12:00:00.000Z',1,2,0,NULL,'1');
INSERT INTO "request" VALUES(7,1,'GRANT','PLANNED','2026-03-01T12:00:00.000Z',2,1,0,NULL,'11 12');
INSERT INTO "request" VALUES(8,1,'GRANT','PLANNED','2026-03-01T12:00:04.000Z',1,2,0,1,'2');
INSERT INTO "request" VALUES(9,1,'GRANT','PLANNED','2026-03-01T12:00:04.000Z',2,2,0,1,'3 4');
INSERT INTO "request" VALUES(10,2,'GRANT','DISCARDED','2026-03-01T12:00:14.000Z',2,2,0,NULL,'13 14');
INSERT INTO "request" VALUES(11,2,'GRANT','DISCARDED','2026-03-01T12:00:14.000Z',1,1,0,NULL,'15');
INSERT INTO "request" VALUES(12,3,'GRANT','SENDING','2026-03-01T12:00:14.000Z',2,2,1,NULL,'2 3');
INSERT INTO "request" VALUES(13,4,'GRANT','ACCEPTED','2026-03-01T13:00:02.000Z',1,1,2,NULL,'16');
INSERT INTO "request" VALUES(14,4,'GRANT','ACCEPTED','2026-03-01T13:00:02.000Z',1,1,2,NULL,'17');
INSERT INTO "request" VALUES(15,4,'GRANT','UNCONFIRMED','2026-03-01T13:00:03.000Z',1,1,1,NULL,'18');
INSERT INTO "request" VALUES(16,4,'GRANT','UNCONFIRMED','2026-03-01T13:00:03.000Z',1,1,1,NULL,'19');
INSERT INTO "request" VALUES(17,4,'GRANT','PLANNED','2026-03-01T13:00:00.000Z',2,2,0,NULL,'20 21');
INSERT INTO "request" VALUES(18,5,'GRANT','ACCEPTED','2026-03-01T12:00:00.000Z',1,3,1,NULL,'22');
INSERT INTO "request" VALUES(19,5,'GRANT','ACCEPTED','2026-03-01T12:00:03.000Z',1,3,1,NULL,'23');
INSERT INTO "request" VALUES(20,5,'REVOKE','ACCEPTED','2026-03-01T12:00:07.000Z',1,1,1,NULL,'22');
INSERT INTO "request" VALUES(21,6,'GRANT','ACCEPTED','2026-03-01T14:00:01.000Z',1,1,1,NULL,'25');
INSERT INTO "request" VALUES(22,6,'GRANT','UNCONFIRMED','2026-03-01T14:00:02.000Z',1,1,1,NULL,'26');
INSERT INTO "request" VALUES(23,6,'GRANT','PLANNED','2026-03-01T14:00:00.000Z',1,1,0,NULL,'27');
INSERT INTO "request" VALUES(24,6,'GRANT','PLANNED','2026-03-01T14:00:00.000Z',2,2,0,NULL,'28 29');
INSERT INTO "request" VALUES(25,6,'GRANT','PLANNED','2026-03-01T14:00:00.000Z',1,1,0,NULL,'24');
INSERT INTO "request" VALUES(26,7,'GRANT','ACCEPTED','2026-03-01T14:00:00.000Z',2,1,1,NULL,'30 31');
INSERT INTO "request" VALUES(27,8,'GRANT','ACCEPTED','2026-03-01T12:00:01.000Z',1,2,1,NULL,'32');
CREATE TABLE request_item (
	request INTEGER NOT NULL, 
	item INTEGER NOT NULL, 
	detail INTEGER NOT NULL, 
	CONSTRAINT pk_request_item PRIMARY KEY (request, item), 
	CONSTRAINT fk_request_item_detail FOREIGN KEY(detail) REFERENCES detail (id), 
	CONSTRAINT fk_request_item_item FOREIGN KEY(item) REFERENCES item (id), 
	CONSTRAINT fk_request_item_request FOREIGN KEY(request) REFERENCES request (number)
)
 WITHOUT ROWID

;
INSERT INTO "request_item" VALUES(1,2,3);
INSERT INTO "request_item" VALUES(1,3,3);
INSERT INTO "request_item" VALUES(2,2,1);
INSERT INTO "request_item" VALUES(2,3,1);
INSERT INTO "request_item" VALUES(2,4,1);
INSERT INTO "request_item" VALUES(3,5,1);
INSERT INTO "request_item" VALUES(3,6,1);
INSERT INTO "request_item" VALUES(4,2,2);
INSERT INTO "request_item" VALUES(5,1,1);
INSERT INTO "request_item" VALUES(6,4,1);
INSERT INTO "request_item" VALUES(6,5,1);
INSERT INTO "request_item" VALUES(7,7,1);
INSERT INTO "request_item" VALUES(8,2,3);
INSERT INTO "request_item" VALUES(8,3,3);
INSERT INTO "request_item" VALUES(9,2,3);
INSERT INTO "request_item" VALUES(9,3,3);
INSERT INTO "request_item" VALUES(10,9,1);
INSERT INTO "request_item" VALUES(10,10,1);
INSERT INTO "request_item" VALUES(11,8,1);
INSERT INTO "request_item" VALUES(12,6,1);
INSERT INTO "request_item" VALUES(12,7,1);
INSERT INTO "request_item" VALUES(13,11,1);
INSERT INTO "request_item" VALUES(14,12,1);
INSERT INTO "request_item" VALUES(15,13,1);
INSERT INTO "request_item" VALUES(16,14,1);
INSERT INTO "request_item" VALUES(17,11,1);
INSERT INTO "request_item" VALUES(17,12,1);
INSERT INTO "request_item" VALUES(18,15,1);
INSERT INTO "request_item" VALUES(18,16,1);
INSERT INTO "request_item" VALUES(18,17,1);
INSERT INTO "request_item" VALUES(19,15,1);
INSERT INTO "request_item" VALUES(19,16,1);
INSERT INTO "request_item" VALUES(19,17,1);
INSERT INTO "request_item" VALUES(20,15,1);
INSERT INTO "request_item" VALUES(21,18,1);
INSERT INTO "request_item" VALUES(22,19,1);
INSERT INTO "request_item" VALUES(23,20,1);
INSERT INTO "request_item" VALUES(24,18,1);
INSERT INTO "request_item" VALUES(24,19,1);
INSERT INTO "request_item" VALUES(25,18,1);
INSERT INTO "request_item" VALUES(26,21,1);
INSERT INTO "request_item" VALUES(27,22,1);
INSERT INTO "request_item" VALUES(27,23,1);
CREATE TABLE run (
	number INTEGER NOT NULL, 
	id TEXT NOT NULL, 
	tenant INTEGER NOT NULL, 
	input_digest TEXT NOT NULL, 
	inputs TEXT NOT NULL, 
	dialect TEXT NOT NULL, 
	started_at TEXT NOT NULL, 
	lower_bound INTEGER NOT NULL, 
	CONSTRAINT pk_run PRIMARY KEY (number), 
	CONSTRAINT fk_run_tenant FOREIGN KEY(tenant) REFERENCES tenant (id), 
	CONSTRAINT uq_run_id UNIQUE (id), 
	CONSTRAINT uq_run_tenant UNIQUE (tenant, input_digest)
);
INSERT INTO "run" VALUES(1,'eeeb0ff7e3dc',1,'one','["in.csv"]','beta','2026-03-01T12:00:00.000Z',0);
INSERT INTO "run" VALUES(2,'262c61ebf56a',2,'two','["in.csv"]','beta','2026-03-01T12:00:14.000Z',0);
INSERT INTO "run" VALUES(3,'549ce522c96b',1,'three','["in.csv"]','beta','2026-03-01T12:00:14.000Z',0);
INSERT INTO "run" VALUES(4,'9bb08e65a866',1,'four','["in.csv"]','beta','2026-03-01T13:00:00.000Z',0);
INSERT INTO "run" VALUES(5,'9a68adfffbaf',1,'import','["(imported)"]','beta','2026-03-01T13:00:00.000Z',0);
INSERT INTO "run" VALUES(6,'ce6675d1bffb',1,'five of 0005','["in.csv"]','beta','2026-03-01T14:00:00.000Z',0);
INSERT INTO "run" VALUES(7,'4771b6a82b75',2,'of the other address','["in.csv"]','beta','2026-03-01T14:00:00.000Z',0);
INSERT INTO "run" VALUES(8,'1b840cc859a2',2,'import','["(imported)"]','beta','2026-03-01T14:00:00.000Z',0);
CREATE TABLE set_aside (
	run_id TEXT NOT NULL, 
	identity_id TEXT NOT NULL, 
	item_type TEXT NOT NULL, 
	item_id TEXT NOT NULL, 
	at TEXT NOT NULL, 
	class TEXT NOT NULL, 
	reason TEXT NOT NULL, 
	CONSTRAINT pk_set_aside PRIMARY KEY (run_id, identity_id, item_type, item_id), 
	CONSTRAINT ck_set_aside_item_type_known CHECK (item_type IN ('ACCESS_PROFILE', 'ROLE', 'ENTITLEMENT')), 
	CONSTRAINT ck_set_aside_class_known CHECK (class IN ('already_submitted', 'already_held', 'held_back'))
)
 WITHOUT ROWID

;
INSERT INTO "set_aside" VALUES('9bb08e65a866','a0000000000000000000000000000020','ROLE','b0000000000000000000000000000030','2026-03-01T13:00:00.000Z','already_held','it is held already');
INSERT INTO "set_aside" VALUES('9bb08e65a866','a0000000000000000000000000000021','ACCESS_PROFILE','AbC-2','2026-03-01T13:00:00.000Z','held_back','a grant until 2027-01-01 is in progress since 2026-02-28, "requested" by Ünal');
INSERT INTO "set_aside" VALUES('9bb08e65a866','a0000000000000000000000000000022','ENTITLEMENT','AbC-1','2026-03-01T13:00:00.000Z','already_submitted','the same is in progress');
INSERT INTO "set_aside" VALUES('ce6675d1bffb','a0000000000000000000000000000050','ROLE','b0000000000000000000000000000060','2026-03-01T14:00:00.000Z','already_held','it is held already');
INSERT INTO "set_aside" VALUES('e0599c1719b2','a0000000000000000000000000000020','ROLE','b0000000000000000000000000000030','2026-03-01T13:00:00.000Z','already_held','it is held already');
CREATE TABLE tenant (
	id INTEGER NOT NULL, 
	name TEXT NOT NULL, 
	CONSTRAINT pk_tenant PRIMARY KEY (id), 
	CONSTRAINT uq_tenant_name UNIQUE (name)
);
INSERT INTO "tenant" VALUES(1,'https://tenant.example');
INSERT INTO "tenant" VALUES(2,'https://other.example');
CREATE TABLE track (
	request INTEGER NOT NULL, 
	identity INTEGER NOT NULL, 
	item INTEGER NOT NULL, 
	finding INTEGER NOT NULL, 
	since TEXT NOT NULL, 
	access_request TEXT NOT NULL, 
	CONSTRAINT pk_track PRIMARY KEY (request, identity, item), 
	CONSTRAINT fk_track_request FOREIGN KEY(request) REFERENCES request (number), 
	CONSTRAINT fk_track_identity FOREIGN KEY(identity) REFERENCES identity (id), 
	CONSTRAINT fk_track_item FOREIGN KEY(item) REFERENCES item (id), 
	CONSTRAINT fk_track_finding FOREIGN KEY(finding) REFERENCES finding (id)
)
 WITHOUT ROWID

;
INSERT INTO "track" VALUES(13,16,11,2,'2026-03-01T13:30:00.000Z','ar-1');
INSERT INTO "track" VALUES(14,17,12,1,'2026-03-01T13:31:00.000Z','ar-2');
INSERT INTO "track" VALUES(18,22,15,3,'','a0');
INSERT INTO "track" VALUES(18,22,16,3,'','a0');
INSERT INTO "track" VALUES(18,22,17,3,'','a0');
INSERT INTO "track" VALUES(19,23,15,3,'','a0');
INSERT INTO "track" VALUES(19,23,16,3,'','a0');
INSERT INTO "track" VALUES(19,23,17,3,'','a0');
INSERT INTO "track" VALUES(20,22,15,4,'','a9');
INSERT INTO "track" VALUES(21,25,18,5,'2026-03-01T14:30:00.000Z','ar-5');
INSERT INTO "track" VALUES(27,32,22,3,'','a0');
INSERT INTO "track" VALUES(27,32,23,3,'','a0');
CREATE INDEX ix_request_run ON request (run, state);
CREATE INDEX ix_envelope_number ON envelope (number);
CREATE INDEX ix_event_request ON event (request);
CREATE VIEW changes AS
SELECT run.id AS run, request.number AS request, request.operation, identity.external_id AS identity_id,
    item.type AS item_type, item.external_id AS item_id, detail.comment, detail.start_date, detail.remove_date,
    detail.metadata, request.state, request.state_at, finding.state AS tenant_state, track.since AS tenant_since,
    finding.who AS tenant_who, finding.said AS tenant_said
FROM request
JOIN run ON run.number = request.run
JOIN recipient ON recipient.request = request.number
JOIN identity ON identity.id = recipient.identity
JOIN request_item ON request_item.request = request.number
JOIN item ON item.id = request_item.item
JOIN detail ON detail.id = request_item.detail
LEFT JOIN track ON track.request = request.number AND track.identity = identity.id AND track.item = item.id
LEFT JOIN finding ON finding.id = track.finding;
COMMIT;
