from kafka import KafkaProducer
import json
producer = KafkaProducer(bootstrap_servers='localhost:9092', value_serializer=lambda v: json.dumps(v).encode('utf-8'))
evento = {'id_usuario': 'u123', 'tipo_evento': 'clique', 'id_produto': 'p456', 'timestamp': '2025-05-14T19:16:00'}
producer.send('eventos_clientes', evento)
producer.flush()
