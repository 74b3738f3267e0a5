<?php
/**
 * Plugin Name: REST chat
 * Description: A chat that speaks over WordPress's REST API, with its nonce in X-WP-Nonce and its reply as server-sent events. For tests on loopback only.
 *
 * It repeats what it is told, word by word. `[[slow]]` in a message waits before each word but the first, `[[fail]]` ends the
 * reply with an error. /seen tells which messages were taken, /rotate makes every nonce given out so far invalid.
 */

defined( 'ABSPATH' ) || exit;

// A nonce is made of this too.
add_filter(
	'nonce_user_logged_out',
	function ( $uid, $action ) {
		return 'wp_rest' === $action ? (int) get_option( 'rest_chat_epoch', 0 ) : $uid;
	},
	10,
	2
);

add_action(
	'wp_enqueue_scripts',
	function () {
		// That page belongs to the other plug-in, whose tests look at all of it.
		if ( is_page( 'chat' ) ) {
			return;
		}
		wp_register_script( 'rest-chat', false, array(), '1.0.0', true );
		wp_enqueue_script( 'rest-chat' );
		wp_localize_script(
			'rest-chat',
			'restChat',
			array(
				'url'  => rest_url( 'rest-chat/v1/say' ),
				'auth' => array( 'nonce' => wp_create_nonce( 'wp_rest' ) ),
			)
		);
	}
);

add_action(
	'rest_api_init',
	function () {
		$route = function ( $path, $method, $callback, $args = array() ) {
			register_rest_route(
				'rest-chat/v1',
				$path,
				array(
					'methods'             => $method,
					'callback'            => $callback,
					'permission_callback' => '__return_true',
					'args'                => $args,
				)
			);
		};
		$route(
			'/nonce',
			'GET',
			function () {
				return array( 'auth' => array( 'nonce' => wp_create_nonce( 'wp_rest' ) ) );
			}
		);
		$route(
			'/seen',
			'GET',
			function () {
				return get_option( 'rest_chat_seen', array() );
			}
		);
		$route(
			'/rotate',
			'POST',
			function () {
				update_option( 'rest_chat_epoch', (int) get_option( 'rest_chat_epoch', 0 ) + 1 );
				return true;
			}
		);
		$route( '/say', 'POST', 'rest_chat_say', array( 'prompt' => array( 'required' => true, 'type' => 'string' ) ) );
	}
);

function rest_chat_say( WP_REST_Request $request ) {
	// A wrong nonce has been refused by WordPress itself; none at all has not.
	if ( ! wp_verify_nonce( (string) $request->get_header( 'x_wp_nonce' ), 'wp_rest' ) ) {
		return new WP_Error( 'rest_cookie_invalid_nonce', 'Cookie check failed', array( 'status' => 403 ) );
	}
	$prompt = sanitize_textarea_field( $request['prompt'] );
	update_option( 'rest_chat_seen', array_merge( get_option( 'rest_chat_seen', array() ), array( $prompt ) ) );

	while ( ob_get_level() ) {
		ob_end_clean();
	}
	header( 'Content-Type: text/event-stream' );
	header( 'Cache-Control: no-cache' );
	header( 'X-Accel-Buffering: no' );
	$send = function ( $event ) {
		echo 'data: ' . wp_json_encode( $event ) . "\n\n";
		flush();
	};
	foreach ( preg_split( '/(?<= )/', "You said: $prompt" ) as $index => $word ) {
		if ( $index > 0 && false !== strpos( $prompt, '[[slow]]' ) ) {
			usleep( 200000 );
		}
		$send( array( 'kind' => 'word', 'value' => $word ) );
	}
	$send( false === strpos( $prompt, '[[fail]]' ) ? array( 'kind' => 'over' ) : array( 'kind' => 'failed', 'value' => 'The AI model is asleep' ) );
	exit;
}
